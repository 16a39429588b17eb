//! What a server does with the library: one [`Upscaler`] shared by all threads, each request with a session, a prompt, its progress
//! and a flag that cancels it. The web is left out: `handle` is what a handler of any framework calls.
//!
//! ```sh
//! cargo run --release -p pdn --example server
//! ```

use pdn::{Encoder, Error, Options, Picture, Prompt, RunError, Upscaler, bundled_encoder, bundled_model};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

/// What a request and whoever watches it share.
#[derive(Default)]
struct Request {
    /// What the client says of the picture.
    prompt: Prompt,
    /// Set when the client has gone.
    cancelled: AtomicBool,
    /// Thousandths that are done.
    done: AtomicU32,
}

/// Enlarges a picture for a request, under the request's own prompt. Any number of threads may call it at once: they share the
/// compiled model.
fn handle(
    (upscaler, encoder): (&Upscaler, &Encoder),
    request: &Request,
    picture: &Picture,
) -> Result<Option<Picture>, Error> {
    let mut session = upscaler.session();
    session.set_prompt(&request.prompt, encoder, picture)?;
    // A quarter of a gigabyte for each: what needs more runs in columns, with the same pixels.
    let options = Options { memory: 256 << 20, tile: None };
    let found = session.upscale(picture, &options, &mut |done| {
        request.done.store((1000.0 * done) as u32, Ordering::Relaxed);
        !request.cancelled.load(Ordering::Relaxed)
    });
    match found {
        Ok(large) => Ok(Some(large)),
        Err(Error::Run(RunError::Cancelled)) => Ok(None),
        Err(other) => Err(other),
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = bundled_model(pdn::DEFAULT_MODEL).ok_or("no model comes with this build")??;
    // Both are shared by all requests.
    let (upscaler, encoder) = (Upscaler::new(&model)?, Arc::new(bundled_encoder()?));
    let picture = Picture::from_rgb(96, 64, (0..96 * 64 * 3).map(|i| (i * 7 % 251) as u8).collect());
    let requests: Vec<_> = ["a pattern of stripes", "a brick wall", "a curtain"]
        .into_iter()
        .enumerate()
        .map(|(number, prompt)| {
            let (upscaler, encoder, picture) = (upscaler.clone(), Arc::clone(&encoder), picture.clone());
            let request = Arc::new(Request { prompt: Prompt::Text(prompt.into()), ..Request::default() });
            // The client of the last has gone before its turn came.
            request.cancelled.store(number == 2, Ordering::Relaxed);
            let watched = Arc::clone(&request);
            (number, watched, thread::spawn(move || handle((&upscaler, &encoder), &request, &picture)))
        })
        .collect();
    for (number, watched, thread) in requests {
        let said = match thread.join().map_err(|_| "a handler panicked")?? {
            Some(large) => format!("{}x{}", large.width(), large.height()),
            None => "cancelled".into(),
        };
        println!("request {number}: {said}, {} thousandths done", watched.done.load(Ordering::Relaxed));
    }
    Ok(())
}
