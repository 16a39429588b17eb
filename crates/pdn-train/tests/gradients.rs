//! Compares burn's gradients through the folded module with PyTorch's through the direct one, which
//! `tests/reference/gradients.py` makes.

use burn::tensor::{Device, Tensor, TensorData};
use pdn_network::{hashed, zoo};
use pdn_train::executor::weights::{flat, gradients, tensors};
use pdn_train::executor::{Batch, run};
use safetensors::SafeTensors;

#[test]
fn gradients_are_pytorch_s() {
    let folder = pdn_testing::root().join("tests/reference/gradients");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 10, "the repository holds the gradient files");
    for path in paths {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let bytes = std::fs::read(path).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = header.metadata().clone().unwrap();
        let config = serde_json::from_str(&metadata["config"]).unwrap();
        let [channels, height, width]: [usize; 3] = serde_json::from_str(&metadata["picture"]).unwrap();
        let network = zoo::build(&metadata["architecture"], &config).unwrap();
        let device = Device::flex().autodiff();
        let tensor = |data: Vec<f32>, shape: [usize; 4]| Tensor::<4>::from_data(TensorData::new(data, shape), &device);
        let amplitude = metadata["amplitude"].parse().unwrap();
        let picture = hashed::numbers("picture", channels * height * width, amplitude);
        let batch = Batch {
            picture: Some(tensor(picture, [1, channels, height, width])),
            prompt: network.prompt_dim().map(|dim| tensor(hashed::prompt("prompt", dim), [1, dim, 1, 1])),
            ..Batch::default()
        };
        let parameters = tensors(&flat(&network, &hashed::weights(&network)), &device);
        let output = run(&network, &parameters, &batch).output;
        let shape = output.dims();
        let probe = tensor(hashed::numbers("probe", shape.iter().product(), 1.0), shape);
        let found = gradients(&(output * probe).mean(), &parameters);
        let file = SafeTensors::deserialize(&bytes).unwrap();
        for (param, found) in network.params.iter().zip(&found) {
            let data = file.tensor(&param.name).unwrap();
            let expected: Vec<f32> =
                data.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
            assert_eq!(found.len(), expected.len(), "{}", param.name);
            let largest = expected.iter().fold(0.0_f32, |top, v| top.max(v.abs()));
            let difference = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            println!("{name}: {} {:.1e}", param.name, difference / largest);
            // ζ = 50 saturates the mask in places, so ζ's own gradient is a small difference of large numbers.
            assert!(difference <= 2e-3 * largest, "{name}: {} is off by {:e}", param.name, difference / largest);
        }
    }
}
