//! Compares the burn executor with every golden file: PyTorch's outputs of networks at their full published size.

use burn::tensor::{Device, Tensor, TensorData};
use pdn_testing::golden::{error, goldens};
use pdn_train::executor::weights::{flat, tensors};
use pdn_train::executor::{Batch, run};

#[test]
fn values_are_pytorch_s() {
    let device = Device::flex();
    let tensor = |data: Vec<f32>, shape: [usize; 4]| Tensor::<4>::from_data(TensorData::new(data, shape), &device);
    let mut failures = Vec::new();
    for golden in goldens() {
        let [channels, height, width] = golden.size;
        let batch = Batch {
            picture: Some(tensor(golden.picture.clone(), [1, channels, height, width])),
            prompt: golden.prompt().map(|prompt| {
                let dim = prompt.len();
                tensor(prompt, [1, dim, 1, 1])
            }),
            ..Batch::default()
        };
        let parameters = tensors(&flat(&golden.network, &golden.weights()), &device);
        let output = run(&golden.network, &parameters, &batch).output;
        let found: Vec<f32> = output.into_data().try_into_vec().unwrap();
        let error = error(found.into_iter().map(f64::from), &golden.tensors["output"]);
        println!("burn {}: {error:.1e}", golden.name);
        // Ten times the engine's bound, as convolutions are transformed.
        if error.is_nan() || error > 5e-5 {
            failures.push(format!("{} is off by {error:.1e}", golden.name));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
