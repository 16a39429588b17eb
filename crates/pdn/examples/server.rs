//! Uses the library in a server: all threads share one [`Upscaler`], and each request has a session, a prompt, its
//! progress and a flag that cancels it. There is no web code: a handler of any framework calls `handle`.
//!
//! ```sh
//! cargo run --release -p pdn --example server
//! ```

use pdn::{Encoder, Error, Options, Picture, Prompt, RunError, Upscaler, bundled_encoder, bundled_model};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

/// What a request and its observers share.
#[derive(Default)]
struct Request {
    /// The client's description of the picture.
    prompt: Prompt,
    /// Set when the client has disconnected.
    cancelled: AtomicBool,
    /// Progress in thousandths.
    done: AtomicU32,
}

/// Upscales a picture for a request, with the request's own prompt. Any number of threads may call it at once: they
/// share the compiled model.
fn handle(
    (upscaler, encoder): (&Upscaler, &Encoder),
    request: &Request,
    picture: &Picture,
) -> Result<Option<Picture>, Error> {
    let mut session = upscaler.session();
    session.set_prompt(&request.prompt, encoder, picture)?;
    // A quarter of a gigabyte for each request: larger pictures run in columns, with the same pixels.
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
    // All requests share both.
    let (upscaler, encoder) = (Upscaler::new(&model)?, Arc::new(bundled_encoder()?));
    let picture = Picture::from_rgb(96, 64, (0..96 * 64 * 3).map(|i| (i * 7 % 251) as u8).collect());
    let requests: Vec<_> = ["a pattern of stripes", "a brick wall", "a curtain"]
        .into_iter()
        .enumerate()
        .map(|(number, prompt)| {
            let (upscaler, encoder, picture) = (upscaler.clone(), Arc::clone(&encoder), picture.clone());
            let request = Arc::new(Request { prompt: Prompt::Text(prompt.into()), ..Request::default() });
            // The last client disconnects before its turn.
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
