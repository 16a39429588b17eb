//! Checks which types may be shared between threads or sent to others, a promise that a new field can break unnoticed.

/// Compiles for types that several threads may read at once and that may be moved to another.
const fn shared<T: Send + Sync>() {}

/// Compiles for types that may be moved to another thread.
const fn sent<T: Send>() {}

const _: () = {
    shared::<pdn::Upscaler>();
    shared::<pdn::Session>();
    shared::<pdn::Plan>();
    shared::<pdn::Model>();
    shared::<pdn::Card>();
    shared::<pdn::Encoder>();
    shared::<pdn::EncoderFile>();
    shared::<pdn::EmbeddingCache>();
    shared::<pdn::Embedding>();
    shared::<pdn::Prompt>();
    shared::<pdn::Regions>();
    shared::<pdn::Captions>();
    shared::<pdn::Tokenizer>();
    shared::<pdn::Picture>();
    shared::<pdn::Header>();
    shared::<pdn::WriteOptions>();
    shared::<pdn::Options>();
    sent::<pdn::RowWriter>();
};

/// Errors cross threads, and go into `Box<dyn Error + Send + Sync>`.
const _: () = {
    shared::<pdn::Error>();
    shared::<pdn::FileError>();
    shared::<pdn::ModelError>();
    shared::<pdn::EncoderError>();
    shared::<pdn::PromptError>();
    shared::<pdn::EmbeddingError>();
    shared::<pdn::CaptionError>();
    shared::<pdn::RunError>();
    shared::<pdn::CompareError>();
};

#[cfg(feature = "hub")]
const _: () = {
    shared::<pdn::Hub>();
    shared::<pdn::HubError>();
};

#[test]
fn one_upscaler_gives_threads_the_same_pixels() {
    let network = pdn::zoo::build("imdn", &serde_json::json!({"scale": 2, "features": 64, "blocks": 6})).unwrap();
    let weights = pdn::hashed::weights(&network);
    let model = pdn::Model { network, weights, card: pdn::Card::default(), source: None };
    let upscaler = pdn::Upscaler::new(&model).unwrap();
    let picture =
        |seed: usize| pdn::Picture::from_rgb(24, 18, (0..24 * 18 * 3).map(|i| (i * seed % 251) as u8).collect());
    let run = |seed| upscaler.upscale(&picture(seed), &pdn::Options::default(), &mut |_| true).unwrap();
    let expected: Vec<pdn::Picture> = (5..9).map(run).collect();
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (5..9).map(|seed| scope.spawn(move || (0..3).map(|_| run(seed)).collect::<Vec<_>>())).collect();
        for (thread, expected) in threads.into_iter().zip(&expected) {
            assert!(thread.join().unwrap().iter().all(|found| found == expected));
        }
    });
}
