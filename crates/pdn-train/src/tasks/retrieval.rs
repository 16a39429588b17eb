//! Shared by the training of both towers: unit vectors, CLIP's loss, and retrieval metrics.

use crate::executor::Words;
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use rayon::prelude::*;

/// Returns CLIP's initial temperature of 0.07, as the logarithm of its inverse.
pub(crate) fn first_scale() -> f32 {
    (1.0_f32 / 0.07).ln()
}

/// Returns the factor of the cosines from its logarithm: CLIP caps it at 100.
pub(crate) fn scale(logarithm: &Tensor<1>) -> Tensor<2> {
    logarithm.clone().clamp_max(100.0_f32.ln()).exp().reshape([1, 1])
}

/// Computes CLIP's loss: over the batch, each row must find its column and each column its row.
pub(crate) fn cross_entropy(rows: Tensor<2>, columns: Tensor<2>, scale: Tensor<2>) -> Tensor<1> {
    let [batch, _] = rows.dims();
    let logits = rows.matmul(columns.transpose()) * scale;
    let pairs = Tensor::<2>::eye(batch, &logits.device());
    let right = |logits: Tensor<2>| (activation::log_softmax(logits, 1) * pairs.clone()).sum();
    -(right(logits.clone()) + right(logits.transpose())) / (2.0 * batch as f64)
}

/// Scales rows to unit length.
pub(crate) fn unit(x: Tensor<2>) -> Tensor<2> {
    let norm = (x.clone().powi_scalar(2).sum_dim(1) + 1e-12).sqrt();
    x / norm
}

/// Stacks rows into a matrix.
pub(crate) fn matrix<'a>(rows: impl IntoIterator<Item = &'a Vec<f32>>, device: &Device) -> Tensor<2> {
    let rows: Vec<&Vec<f32>> = rows.into_iter().collect();
    let data: Vec<f32> = rows.iter().flat_map(|row| row.iter().copied()).collect();
    let width = data.len() / rows.len().max(1);
    Tensor::from_data(TensorData::new(data, [rows.len(), width]), device)
}

/// Splits a matrix into rows.
pub(crate) fn rows(vectors: Tensor<2>) -> Vec<Vec<f32>> {
    let [_, width] = vectors.dims();
    let data: Vec<f32> = vectors.into_data().try_into_vec().expect("embeddings are f32");
    data.chunks(width).map(<[f32]>::to_vec).collect()
}

/// Pads sentences to a batch.
pub(crate) fn words(sentences: &[&[usize]], device: &Device) -> Words {
    let length = sentences.iter().map(|s| s.len()).max().unwrap_or(1);
    let padded = sentences.iter().flat_map(|s| (0..length).map(|i| s.get(i).map_or(0, |token| *token as i32)));
    let last: Vec<i32> = sentences.iter().map(|s| s.len() as i32 - 1).collect();
    Words {
        tokens: Tensor::<2, Int>::from_data(
            TensorData::new(padded.collect::<Vec<i32>>(), [sentences.len(), length]),
            device,
        ),
        last: Tensor::<1, Int>::from_data(TensorData::new(last, [sentences.len()]), device),
    }
}

/// Returns, for each text, how many candidates are nearer to it than its own.
pub(crate) fn ranks(texts: &[Vec<f32>], own: &[usize], candidates: &[Vec<f32>]) -> Vec<usize> {
    let cosine = |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let rank = |(text, own): (&Vec<f32>, &usize)| {
        let mine = cosine(text, &candidates[*own]);
        candidates.iter().filter(|candidate| cosine(text, candidate) > mine).count()
    };
    texts.par_iter().zip(own).map(rank).collect()
}

/// Returns R@1, R@5 and R@10 in per cent.
pub(crate) fn recalls(ranks: &[usize]) -> Vec<(String, f64)> {
    let recall = |k: usize| 100.0 * ranks.iter().filter(|rank| **rank < k).count() as f64 / ranks.len() as f64;
    [1, 5, 10].map(|k| (format!("R@{k}"), recall(k))).into()
}
