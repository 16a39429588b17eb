use super::proto::{DataType, GraphProto, Length, ModelProto, TensorProto, ValueInfoProto};
use super::*;
use crate::zoo::{self, Clip, Edsr, Imdn, Pdn, PictureTower, Reading, TextTower, Transformer};
use crate::{Act, Binary, Builder, DcmOptions, End, Interpolation, Pool, hashed};
use std::collections::{BTreeMap, BTreeSet};

fn written(network: &Network) -> ModelProto {
    let bytes = write(network, &hashed::weights(network), &[("note", "kept".into())]).unwrap();
    let model = ModelProto::decode(&bytes[..]).unwrap();
    check(network, &model);
    model
}

/// Checks what holds for every file: each value is defined once, before it is used, and all weights are there,
/// unchanged.
#[track_caller]
fn check(network: &Network, model: &ModelProto) {
    let name = network.architecture;
    let graph = graph(model);
    assert_eq!((model.ir_version, model.opset_import[0].version), (8, 17));
    let mut known: BTreeSet<&str> = graph.input.iter().map(|value| value.name.as_str()).collect();
    for tensor in &graph.initializer {
        assert!(known.insert(&tensor.name), "{name}: two constants {}", tensor.name);
        let bytes = if tensor.data_type == DataType::Float as i32 { 4 } else { 8 };
        assert_eq!(tensor.raw_data.len(), tensor.dims.iter().product::<i64>() as usize * bytes, "{}", tensor.name);
    }
    for node in &graph.node {
        for input in &node.input {
            // An omitted input has no name.
            assert!(
                input.is_empty() || known.contains(input.as_str()),
                "{name}: {} reads {input}, which is not made",
                node.name
            );
        }
        for output in &node.output {
            assert!(known.insert(output), "{name}: two values {output}");
        }
    }
    assert!(known.contains(graph.output[0].name.as_str()));
    let weights = hashed::weights(network);
    let constants: BTreeMap<&str, &TensorProto> = graph.initializer.iter().map(|t| (t.name.as_str(), t)).collect();
    for (id, param) in network.param_ids().zip(&network.params) {
        let numbers: Vec<u8> = weights[id].data().iter().flat_map(|v| v.to_le_bytes()).collect();
        assert!(constants[param.name.as_str()].raw_data == numbers, "{name}: {}", param.name);
    }
    for tap in &network.taps {
        assert!(graph.node.iter().any(|node| node.output[0] == tap.name), "{name}: {}", tap.name);
    }
    assert!(model.metadata_props.iter().any(|entry| entry.key == "note" && entry.value == "kept"));
}

fn graph(model: &ModelProto) -> &GraphProto {
    model.graph.as_ref().unwrap()
}

fn count(model: &ModelProto, kind: &str) -> usize {
    graph(model).node.iter().filter(|node| node.op_type == kind).count()
}

/// Returns the name and dimensions of an input or output, as `picture[batch,3,height,width]`.
fn signature(value: &ValueInfoProto) -> String {
    let shape = value.r#type.as_ref().unwrap().tensor_type.as_ref().unwrap().shape.as_ref().unwrap();
    let dims = shape.dim.iter().map(|dim| match dim.value.as_ref().unwrap() {
        Length::DimValue(n) => n.to_string(),
        Length::DimParam(name) => name.clone(),
    });
    format!("{}[{}]", value.name, dims.collect::<Vec<_>>().join(","))
}

fn signatures(model: &ModelProto) -> [Vec<String>; 2] {
    [&graph(model).input, &graph(model).output].map(|values| values.iter().map(signature).collect())
}

fn tower(reading: Reading, picture: PictureTower, quick_gelu: bool) -> Clip {
    let blocks = Transformer { width: 16, heads: 2, layers: 1, quick_gelu };
    Clip { dim: 8, text: TextTower { vocabulary: 50, context: 9, blocks, reading }, picture }
}

/// Returns a vision transformer with OpenAI's GELU, and convolutions with the true one.
fn towers() -> [Clip; 2] {
    let blocks = Transformer { width: 16, heads: 2, layers: 1, quick_gelu: true };
    [
        tower(Reading::End, PictureTower::Vit { side: 8, patch: 4, blocks }, true),
        tower(Reading::Mean, PictureTower::Convolutions { side: 16, stages: vec![(8, 1), (8, 1)] }, false),
    ]
}

#[test]
fn every_preset_is_written() {
    for architecture in zoo::ARCHITECTURES {
        for (name, _) in architecture.presets {
            let network = zoo::preset(name, 4).unwrap();
            // The few of hundreds of megabytes are left to `tests/reference/onnx_check.py`, which runs them too.
            if network.params.iter().map(|param| param.len()).sum::<usize>() > 20_000_000 {
                continue;
            }
            written(&network);
        }
    }
}

#[test]
fn edsr_is_what_a_reader_of_the_paper_expects() {
    let model = written(&Edsr::baseline(4).build().unwrap());
    let [inputs, outputs] = signatures(&model);
    assert_eq!(inputs, ["picture[batch,3,height,width]"]);
    assert_eq!(outputs, ["enlarged[batch,3,height_out,width_out]"]);
    assert_eq!((count(&model, "Conv"), count(&model, "Relu"), count(&model, "DepthToSpace")), (37, 16, 2));
    // 37 convolutions, 16 ReLUs, 17 sums, 2 shuffles; the mean and the range, in and out; the clip.
    assert_eq!(graph(&model).node.len(), 37 + 16 + 17 + 2 + 4 + 1);
    let fact = |key: &str| model.metadata_props.iter().find(|e| e.key == key).map(|e| e.value.as_str());
    assert_eq!((fact("architecture"), fact("scale"), fact("prompt")), (Some("edsr"), Some("4"), None));
}

#[test]
fn a_prompt_is_an_input_and_mixes_kernels_in_the_graph() {
    let plus = Edsr { features: 16, blocks: 2, ..Edsr::baseline(2) }.plus(DcmOptions::default()).build().unwrap();
    for network in [plus.deployed(), plus] {
        let model = written(&network);
        let [inputs, outputs] = signatures(&model);
        assert_eq!(inputs, ["picture[batch,3,height,width]", "prompt[1,512]"]);
        assert_eq!(outputs, ["enlarged[batch,3,height_out,width_out]"]);
        // A kernel and a bias for each module.
        assert_eq!(count(&model, "MatMul"), 4);
        assert!(network.taps.len() == 2 && model.metadata_props.iter().any(|e| e.key == "prompt"));
    }
}

#[test]
fn a_kernel_that_differs_from_picture_to_picture_wants_them_one_by_one() {
    let mut network = Pdn { features: 16, groups: 1, blocks: 1, modules: 1, ..Pdn::medium(2) }.build().unwrap().lower();
    assert_eq!(signatures(&written(&network))[0][0], "picture[batch,3,height,width]");
    // The mixture depends on the picture's mean.
    let mut b = Builder::new();
    let picture = b.picture();
    let mean = b.global_pool(Pool::Mean, picture);
    let mix = b.conv("mix", mean, 3, 1);
    let out = b.conv("bank", picture, 3, 3);
    network = b.finish("mixed", &(), PictureFormat::UNIT, out).unwrap();
    let bank = network.param_ids().last().unwrap();
    let weight = network.param_ids().nth(bank.index() - 1).unwrap();
    network.params[weight.index()].shape.insert(0, 3);
    network.params[bank.index()].shape = vec![3, 3];
    network.nodes[out.index()].op = Op::MixedConv { bank: weight, bias: bank };
    network.nodes[out.index()].inputs.push(mix);
    assert_eq!(signatures(&written(&network))[0][0], "picture[1,3,height,width]");
}

#[test]
fn towers_take_tokens_and_pictures_and_give_vectors() {
    for clip in towers() {
        let text = written(&clip.text_network().unwrap());
        assert_eq!(signatures(&text), [["tokens[batch,length]"], ["embedding[batch,8]"]]);
        let picture = written(&clip.picture_network().unwrap());
        assert_eq!(signatures(&picture), [["picture[batch,3,height,width]"], ["embedding[batch,8]"]]);
    }
    let mut b = Builder::new();
    let picture = b.picture();
    let out = b.conv("features", picture, 8, 3);
    let features = b.finish("features", &(), PictureFormat::UNIT, out).unwrap();
    assert_eq!(signatures(&written(&features))[1], ["features[batch,8,height_out,width_out]"]);
}

/// Returns the name of every operation, so that the test fails to compile when one is added.
fn name(op: &Op) -> &'static str {
    match op {
        Op::Picture { .. } => "Picture",
        Op::Prompt { .. } => "Prompt",
        Op::Words(_) => "Words",
        Op::Constant(_) => "Constant",
        Op::Fill(_) => "Fill",
        Op::Conv { .. } => "Conv",
        Op::MixedConv { .. } => "MixedConv",
        Op::Act(Act::Relu) => "Relu",
        Op::Act(Act::LeakyRelu(_)) => "LeakyRelu",
        Op::Act(Act::Sigmoid) => "Sigmoid",
        Op::Act(Act::Gelu) => "Gelu",
        Op::Act(Act::QuickGelu) => "QuickGelu",
        Op::Act(Act::PRelu(_)) => "PRelu",
        Op::Binary(Binary::Add) => "Add",
        Op::Binary(Binary::Mul) => "Mul",
        Op::Binary(Binary::Div) => "Div",
        Op::Scale(_) => "Scale",
        Op::Concat => "Concat",
        Op::Slice { .. } => "Slice",
        Op::PixelShuffle(_) => "PixelShuffle",
        Op::PixelUnshuffle(_) => "PixelUnshuffle",
        Op::Enlarge(Interpolation::Nearest, _) => "Nearest",
        Op::Enlarge(Interpolation::Bilinear, _) => "Bilinear",
        Op::GlobalPool(Pool::Mean) => "Mean",
        Op::GlobalPool(Pool::Contrast) => "Contrast",
        Op::Dot => "Dot",
        Op::Norm { .. } => "Norm",
        Op::Gradient { .. } => "Gradient",
        Op::Softmax => "Softmax",
        Op::LayerNorm { .. } => "LayerNorm",
        Op::Positions(_) => "Positions",
        Op::Join => "Join",
        Op::Attend { causal: false, .. } => "Attend",
        Op::Attend { causal: true, .. } => "causal Attend",
        Op::Take(End::First) => "First",
        Op::Take(End::Last) => "Last",
        Op::Dcm(_) => "Dcm",
    }
}

#[test]
fn every_operation_is_written() {
    let without = DcmOptions { attention: false, dynamic: false, ..DcmOptions::default() };
    let edsr = Edsr { features: 16, blocks: 1, ..Edsr::full(2) };
    let mut networks = vec![
        Imdn { features: 16, blocks: 1, ..Imdn::published(2) }.build().unwrap(),
        Pdn { features: 16, groups: 1, blocks: 1, modules: 1, channel_attention: Some(4), ..Pdn::medium(2) }
            .build()
            .unwrap(),
        edsr.clone().plus(without).build().unwrap().deployed(),
        edsr.plus(DcmOptions::default()).build().unwrap().deployed(),
        // Slopes and repeated pixels; interpolated pixels.
        zoo::preset("srvgg-compact", 4).unwrap(),
        zoo::preset("msrresnet", 4).unwrap(),
        // A gradient.
        zoo::Spsr { features: 8, growth: 4, blocks: 4, interval: 1, ..zoo::Spsr::published(2) }.build().unwrap(),
    ];
    for clip in towers() {
        networks.extend([clip.text_network().unwrap(), clip.picture_network().unwrap()]);
    }
    let mut seen = BTreeSet::new();
    for network in &networks {
        written(network);
        seen.extend(network.nodes.iter().chain(&network.lower().nodes).map(|node| name(&node.op)));
    }
    assert_eq!(seen.len(), 37, "of the list only {seen:?} were written");
}

#[test]
fn what_no_file_can_hold_is_refused() {
    assert_eq!(check_size(MAX_BYTES), Ok(()));
    let said = check_size(MAX_BYTES + 1).unwrap_err().to_string();
    assert!(said.contains("2147483648") && said.contains("ONNX"), "{said}");
    let mut network = Imdn::published(2).build().unwrap();
    let weights = hashed::weights(&network);
    network.params[0].shape = vec![1 << 30];
    assert!(matches!(write(&network, &weights, &[]), Err(OnnxError::TooLarge { .. })));
}
