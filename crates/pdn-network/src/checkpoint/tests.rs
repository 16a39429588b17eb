//! Tests of the readers on files made by PyTorch (`tests/reference/pickles.py`), on real ones, and on hostile ones.

use super::*;

fn file(name: &str) -> Vec<u8> {
    std::fs::read(pdn_testing::root().join("tests/reference/pickles").join(name)).unwrap()
}

fn ramp(count: usize) -> Vec<f32> {
    (0..count).map(|i| i as f32 / 8.0).collect()
}

#[track_caller]
fn assert_tensor(checkpoint: &Checkpoint, name: &str, shape: &[usize], data: &[f32]) {
    let tensor = checkpoint.tensors.get(name).unwrap_or_else(|| panic!("{name} is missing"));
    assert_eq!((tensor.shape(), tensor.data()), (shape, data), "{name}");
}

#[test]
fn plain_files_of_every_type() {
    for kind in ["zip", "legacy"] {
        let plain = parse(&file(&format!("plain_{kind}.pth"))).unwrap();
        assert_tensor(&plain, "weight", &[2, 3], &ramp(6));
        assert_tensor(&plain, "bias", &[4], &ramp(4));
        assert_eq!((plain.tensors.len(), plain.skipped), (2, vec!["steps".to_owned()]));
        for dtype in ["float16", "bfloat16", "float64"] {
            assert_tensor(&parse(&file(&format!("{dtype}_{kind}.pth"))).unwrap(), "weight", &[2, 3], &ramp(6));
        }
    }
}

#[test]
fn views_are_gathered() {
    for kind in ["zip", "legacy"] {
        let views = parse(&file(&format!("views_{kind}.pth"))).unwrap();
        assert_tensor(&views, "weight", &[2, 3], &[0.0, 0.25, 0.5, 0.125, 0.375, 0.625]);
        assert_tensor(&views, "slice", &[2, 3], &ramp(10)[4..]);
        assert_tensor(&views, "again", &[6], &ramp(12)[6..]);
        assert_tensor(&views, "spread", &[2, 3], &[0.0, 0.0, 0.0, 0.125, 0.125, 0.125]);
        assert_tensor(&views, "scalar", &[], &[0.0]);
        assert_tensor(&views, "nothing", &[0, 3], &[]);
    }
}

#[test]
fn wrappers_and_prefixes_come_off() {
    for kind in ["zip", "legacy"] {
        let wrapped = parse(&file(&format!("wrapped_{kind}.pth"))).unwrap();
        assert_eq!(wrapped.unwrapped.as_deref(), Some("params_ema"));
        assert_tensor(&wrapped, "weight", &[2, 3], &ramp(6));
        assert_tensor(&wrapped, "bias", &[2], &ramp(2));
    }
    let training = parse(&file("training_zip.pth")).unwrap();
    assert_eq!((training.unwrapped.as_deref(), training.tensors.len()), (Some("state_dict"), 1));
    assert_tensor(&training, "weight", &[2, 3], &ramp(6));
}

#[test]
fn real_files() {
    // Counts and sums of absolute values, as `torch.load` gives them.
    for (name, kept, skipped, sum) in [
        ("IMDN_x4.pth", 92, 0, 64408.89875464213),
        ("tgsr_face_x8/netG_epoch_7.pth", 88, 16, 90822.02400452638),
        ("tgsr_face_x8/netGH_epoch_7.pth", 101, 20, 29173.495441860974),
    ] {
        let Some(path) = pdn_testing::data(&format!("checkpoints/{name}")) else { continue };
        let checkpoint = read(&path).unwrap();
        assert_eq!(checkpoint.kind, Kind::TorchLegacy, "{name}");
        assert_eq!((checkpoint.tensors.len(), checkpoint.skipped.len()), (kept, skipped), "{name}");
        let total: f64 = checkpoint.tensors.values().flat_map(|t| t.data()).map(|v| f64::from(v.abs())).sum();
        assert!((total - sum).abs() < 1e-6 * sum, "{name}: {total}");
    }
}

#[test]
fn safetensors_files() {
    use ::safetensors::tensor::{Dtype as Stored, TensorView};
    let halves: Vec<u8> = ramp(6).iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect();
    let steps = 7_i64.to_le_bytes();
    let views = [
        ("module.weight", TensorView::new(Stored::F16, vec![2, 3], &halves).unwrap()),
        ("module.steps", TensorView::new(Stored::I64, vec![], &steps).unwrap()),
    ];
    let bytes = ::safetensors::serialize(views, Some([("format".to_owned(), "pt".to_owned())].into())).unwrap();
    let read = parse(&bytes).unwrap();
    assert_tensor(&read, "weight", &[2, 3], &ramp(6));
    assert_eq!(read.metadata["format"], "pt");
    assert_eq!(read.skipped, ["module.steps"]);
}

#[test]
fn torchscript_archives_are_read_without_their_code() {
    let script = parse(&file("script.pt")).unwrap();
    assert_eq!(script.kind, Kind::TorchScript);
    let tensors: Vec<_> = script.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.shape())).collect();
    assert_eq!(tensors, [("bias", &[1][..]), ("weight", &[1, 1])]);
    // A module that is its own attribute, and a hundred nested ones.
    let own = b"c__torch__\nM\n)\x81q\x00}(X\x01\0\0\0ah\x00ub.";
    assert!(matches!(parse(&legacy(own)), Err(Fault::NoTensors)));
    let nested = [b"c__torch__\nM\n)\x81}(X\x01\0\0\0a".repeat(100), b"N".to_vec(), b"ub".repeat(100), b".".to_vec()];
    assert!(matches!(parse(&legacy(&nested.concat())), Err(Fault::Unsupported(_))));
}

/// Wraps a pickle in a legacy file.
fn legacy(pickle: &[u8]) -> Vec<u8> {
    let plain = file("plain_legacy.pth");
    // Magic number, version, and the system as torch wrote them: the object begins where the fourth pickle does.
    let mut at = 0;
    for _ in 0..3 {
        at += pickle::Pickle::read(&plain[at..]).unwrap().length;
    }
    [&plain[..at], pickle, b"\x80\x02]q\x00."].concat()
}

#[test]
fn what_is_not_on_the_list_is_refused_by_name() {
    for (pickle, name) in [
        (&b"cos\nsystem\n(S'touch /tmp/owned'\ntR."[..], "os.system"),
        (b"cposix\nsystem\n(S'true'\ntR.", "posix.system"),
        (b"cbuiltins\neval\n(S'1'\ntR.", "builtins.eval"),
        (b"c__builtin__\ngetattr\n(ctorch\nSize\nS'x'\ntR.", "__builtin__.getattr"),
        (b"\x80\x04\x8c\x05torch\x8c\x04load\x93.", "torch.load"),
        (b"ctorch\nEvilStorage\n.", "torch.EvilStorage"),
        (b"csubprocess\nPopen\n(S'true'\nt\x81.", "subprocess.Popen"),
    ] {
        match parse(&legacy(pickle)) {
            Err(Fault::Refused(found)) => assert_eq!(found, name),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn what_a_pickle_claims_is_not_believed() {
    // A tensor of 2^40 numbers over a storage that does not exist; strides far out of range; a negative size.
    let tensor = |offset: &str, shape: &str, strides: &str| {
        let text = format!(
            "(dS'w'\nctorch._utils\n_rebuild_tensor_v2\n((S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI4\ntQ\
             I{offset}\n({shape}t({strides}tI00\nNtRs."
        );
        parse(&legacy(text.as_bytes())).unwrap_err()
    };
    for (offset, shape, strides) in [
        ("0", "I1099511627776\n", "I0\n"),
        ("0", "I4294967296\nI4294967296\n", "I1\nI1\n"),
        ("9223372036854775807", "I2\n", "I9223372036854775807\n"),
        ("0", "I-1\n", "I1\n"),
        ("-1", "I1\n", "I1\n"),
        ("0", "I1\n", ""),
    ] {
        let fault = tensor(offset, shape, strides);
        assert!(matches!(fault, Fault::Damaged(_)), "{offset} {shape} {strides}: {fault:?}");
    }
}

#[test]
fn what_a_pickle_names_again_and_again_is_bounded() {
    // A shape of a thousand ones, and a long name, each stored once and referenced by every tensor.
    let ones = "I1\n".repeat(1000);
    let tensor = "ctorch._utils\n_rebuild_tensor_v2\n((S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI1\ntQI0\n";
    let axes = format!("(dS'w'\n{tensor}({ones}t({ones}tI00\nNtRs.");
    assert!(matches!(parse(&legacy(axes.as_bytes())), Err(Fault::Unsupported(why)) if why.contains("1000 axes")));
    let prefix = "a".repeat(1 << 20);
    let module = |inside: &str| format!("(dS'{prefix}'\n(dp1\n{inside}s.");
    let entries: String = (0..40).map(|i| format!("S'{prefix}{i}'\n{tensor}(I1\nt(I1\ntI00\nNtRs")).collect();
    let names = parse(&legacy(module(&entries).as_bytes()));
    assert!(
        matches!(&names, Err(Fault::Unsupported(why)) if why.contains("bytes together")),
        "{:?}",
        names.map(|_| ())
    );
}

/// Each would take minutes if every reference were followed again.
#[test]
fn what_is_named_again_and_again_is_gone_through_once() {
    let (long, often) = (1 << 20, 200_000);
    let reference = |key: &str, parts: &str| {
        let named = format!("((S'storage'\nctorch\nFloatStorage\nS'{key}'\nS'cpu'\nI1\n{parts}tp1\n0");
        legacy(&[named.as_bytes(), &b"g1\nQ0".repeat(often), b"}."].concat())
    };
    for file in [reference("0", &"N".repeat(long)), reference(&"0".repeat(long), "")] {
        let fault = parse(&file).map(|_| ()).unwrap_err();
        assert!(matches!(&fault, Fault::Damaged(why) if why.contains("reference to a storage")), "{fault}");
    }
    let name = format!("{}weight", "module.netG.".repeat(long / 12));
    let file =
        write(&Tensors::from([(name, crate::Tensor::new(vec![1], vec![1.0]))]), Default::default(), Precision::F32);
    assert_tensor(&parse(&file).unwrap(), "weight", &[1], &[1.0]);
}

#[test]
fn what_is_no_checkpoint_is_said() {
    assert!(matches!(parse(b""), Err(Fault::Empty)));
    assert!(matches!(parse(b"not a model"), Err(Fault::Unknown)));
    assert!(matches!(parse(&legacy(b"}.")), Err(Fault::NoTensors)));
    let folder = pdn_testing::root();
    assert!(read(&folder).unwrap_err().to_string().contains("is a folder"));
    let error = read(&folder.join("nowhere.pth")).unwrap_err().to_string();
    assert!(error.contains("nowhere.pth") && error.contains("no such file"), "{error}");
}

#[test]
fn a_compressed_or_oversized_entry_is_refused() {
    let mut zip = file("plain_zip.pth");
    // The compression method is 8 bytes into each local header and 10 into each central one: claim deflate.
    for (signature, offset) in [(b"PK\x03\x04", 8), (b"PK\x01\x02", 10)] {
        let places: Vec<usize> = (0..zip.len() - 4).filter(|i| zip[*i..].starts_with(signature)).collect();
        places.iter().for_each(|at| zip[at + offset] = 8);
    }
    assert!(parse(&zip).is_err());
}

#[test]
fn entries_that_share_their_bytes_are_refused() {
    let zip = std::fs::read(pdn_testing::root().join("tests/reference/layouts/rcan_basicsr.pth")).unwrap();
    let number = |at: usize| u32::from_le_bytes(zip[at..at + 4].try_into().unwrap()) as usize;
    let end = zip.len() - 22;
    assert!(zip[end..].starts_with(b"PK\x05\x06"), "an archive without a comment");
    let start = number(end + 16);
    let records: Vec<usize> = (start..end).filter(|at| zip[*at..].starts_with(b"PK\x01\x02")).collect();
    // The directory again, with its largest entry a hundred times more, each under its own name.
    let largest = *records.iter().max_by_key(|at| number(**at + 20)).unwrap();
    let next = *records.iter().find(|at| **at > largest).unwrap();
    let mut directory = zip[start..start + number(end + 12)].to_vec();
    for i in 0..100 {
        let at = directory.len();
        directory.extend_from_slice(&zip[largest..next]);
        directory[at + 46..][..2].copy_from_slice(format!("{i:02}").as_bytes());
    }
    let mut last = zip[end..].to_vec();
    for at in [8, 10] {
        last[at..at + 2].copy_from_slice(&(records.len() as u16 + 100).to_le_bytes());
    }
    last[12..16].copy_from_slice(&(directory.len() as u32).to_le_bytes());
    let refused = parse(&[&zip[..start], &directory, &last].concat()).unwrap_err().to_string();
    assert!(refused.contains("bytes of entries"), "{refused}");
}

#[test]
fn every_truncation_is_an_error() {
    for name in ["plain_zip.pth", "plain_legacy.pth", "views_legacy.pth", "script.pt"] {
        let whole = file(name);
        for length in 0..whole.len() {
            assert!(parse(&whole[..length]).is_err(), "{name} cut to {length} of {}", whole.len());
        }
    }
}
