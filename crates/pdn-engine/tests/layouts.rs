//! Compares every file in `tests/reference/layouts` with the output of its project's own code: each is a small network,
//! saved as that project saves it. `tests/reference/layouts.py` makes them; a new file there is a new test here.

use pdn_engine::{Map, reference};
use pdn_network::{Model, hashed};
use safetensors::SafeTensors;

/// Returns the model's output for the hashed picture of `layouts.py`; both are from 0 to 1.
fn enlarged(model: &Model) -> Vec<f64> {
    let (pixels, format) = (6 * 8, model.network.picture);
    let rgb = hashed::numbers("picture", 3 * pixels, 0.5);
    let numbers = rgb.iter().enumerate().map(|(i, v)| format.range * (f64::from(*v) + 0.5 - format.mean[i / pixels]));
    let out = reference::run(&model.network, &model.weights, &Map::new(3, 6, 8, numbers.collect()), None).unwrap();
    let pixels = out.picture.height * out.picture.width;
    out.picture.data.iter().enumerate().map(|(i, v)| v / format.range + format.mean[i / pixels]).collect()
}

#[test]
fn files_of_every_layout_give_what_their_projects_give() {
    let folder = pdn_testing::root().join("tests/reference/layouts");
    let bytes = std::fs::read(folder.join("expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    let layouts = [
        ("carn_x4", "carn", "CARN-pytorch for many scales, x4", "PyTorch", None),
        ("rcan_official", "rcan", "EDSR-PyTorch", "PyTorch", None),
        ("rcan_basicsr", "rcan", "BasicSR", "PyTorch", Some("params")),
        ("rdn_official", "rdn", "EDSR-PyTorch", "legacy PyTorch", Some("model")),
        ("rdn_yjn870", "rdn", "RDN-pytorch", "PyTorch", None),
        ("srresnet", "srresnet", "SRGAN-PyTorch", "legacy PyTorch", Some("state_dict")),
        ("msrresnet", "msrresnet", "BasicSR", "PyTorch", Some("params")),
        ("rrdb_basicsr_x2", "rrdb", "BasicSR", "PyTorch", Some("params_ema")),
        ("rrdb_esrgan", "rrdb", "ESRGAN", "PyTorch", None),
        ("rrdb_first", "rrdb", "ESRGAN's first", "legacy PyTorch", None),
        ("srvgg", "srvgg", "Real-ESRGAN", "PyTorch", Some("params")),
        ("srvgg_script", "srvgg", "Real-ESRGAN", "TorchScript", None),
    ];
    assert_eq!(expected.len(), layouts.len());
    for (name, architecture, layout, kind, unwrapped) in layouts {
        let file = format!("{name}.{}", if kind == "TorchScript" { "pt" } else { "pth" });
        let model = Model::open(&folder.join(file)).unwrap();
        let source = model.source.as_ref().unwrap();
        let found = (model.network.architecture, source.layout, source.kind, source.unwrapped.as_deref());
        assert_eq!(found, (architecture, layout, kind, unwrapped));
        let expected =
            expected.tensor(name).unwrap().data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        let (found, mut worst) = (enlarged(&model), 0.0_f64);
        assert_eq!(found.len(), expected.len(), "{name}");
        for (found, expected) in found.iter().zip(expected) {
            worst = worst.max((found - f64::from(expected)).abs());
        }
        println!("{name}: {worst:.1e}");
        // The file holds float32 numbers; folding SRResNet's normalisation rounds them once more.
        assert!(worst < 2e-6, "{name} is off by {worst:.1e}");
    }
}
