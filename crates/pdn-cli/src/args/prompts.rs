//! Prompts in the order of the command line, which the options' own lists do not preserve, and the faults told beside them.

use clap::{ArgMatches, Args, Command, Error, FromArgMatches};
use pdn::ToldFaults;
use std::path::PathBuf;

/// The options that give a prompt.
pub(crate) const PROMPTS: [&str; 3] = ["prompt", "prompt_image", "prompt_embedding"];

/// Prompts as they are typed; [`PromptArgs`] has them in their order.
#[derive(Debug, clap::Args)]
struct Typed {
    /// Description of the picture, in a sentence [default: the model's recommended prompt, or else the picture itself]
    ///
    /// Several prompts, of any kind, are mixed; `pdn masks` compares them instead.
    #[arg(short, long, value_name = "TEXT")]
    prompt: Vec<String>,
    /// Use a picture with similar content as the prompt
    #[arg(long, value_name = "FILE")]
    prompt_image: Vec<PathBuf>,
    /// Use an embedding made by `pdn embed` as the prompt
    #[arg(long, value_name = "FILE")]
    prompt_embedding: Vec<PathBuf>,
    /// Weights of the prompts, in the order given, such as 0.7,0.3; a negative weight steers away [default: equal]
    #[arg(long, value_name = "W,W", value_delimiter = ',', allow_hyphen_values = true)]
    prompt_weights: Vec<f32>,
    /// What befell the picture, such as blur=slight,noise=none,jpeg=60, for a model that is steered by faults
    ///
    /// The slots are blur, resize, sharpening, noise, grain and jpeg, with a level (none, slight, strong, heavy; for resize
    /// antialiased, sharp, nearest; for grain fine, coarse), an amount (blur in pixels, noise in levels of 255, JPEG's quality), or
    /// `unknown`. They win over those in the prompt's words. Slots left out are seen in the picture itself; with the word `unseen`
    /// in the list, as in blur=slight,unseen, they stay unknown.
    #[arg(long, value_name = "SETTINGS")]
    faults: Option<ToldFaults>,
}

/// The prompts that were typed, and their weights.
#[derive(Debug, Default)]
pub(crate) struct PromptArgs {
    pub(crate) prompts: Vec<Source>,
    /// None, or one for each.
    pub(crate) weights: Vec<f32>,
    /// What is told beside them.
    pub(crate) faults: Option<ToldFaults>,
}

/// What was typed for a prompt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    Text(String),
    Picture(PathBuf),
    Embedding(PathBuf),
}

impl FromArgMatches for PromptArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Self::from_arg_matches_mut(&mut matches.clone())
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, Error> {
        let [texts, pictures, embeddings] =
            PROMPTS.map(|option| matches.indices_of(option).into_iter().flatten().collect::<Vec<_>>());
        let typed = Typed::from_arg_matches_mut(matches)?;
        let mut placed: Vec<(usize, Source)> =
            texts.into_iter().zip(typed.prompt.into_iter().map(Source::Text)).collect();
        placed.extend(pictures.into_iter().zip(typed.prompt_image.into_iter().map(Source::Picture)));
        placed.extend(embeddings.into_iter().zip(typed.prompt_embedding.into_iter().map(Source::Embedding)));
        placed.sort_by_key(|(place, _)| *place);
        let prompts = placed.into_iter().map(|(_, source)| source).collect();
        Ok(Self { prompts, weights: typed.prompt_weights, faults: typed.faults })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for PromptArgs {
    fn augment_args(command: Command) -> Command {
        Typed::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Typed::augment_args_for_update(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(line: &str) -> PromptArgs {
        let command = PromptArgs::augment_args(Command::new("test").no_binary_name(true));
        PromptArgs::from_arg_matches(&command.get_matches_from(line.split_whitespace())).unwrap()
    }

    #[test]
    fn prompts_keep_their_order_across_options() {
        let line = "--prompt-image a.png -p one --prompt-weights -0.5,1 --prompt-embedding b --prompt=two --prompt-weights 2e0,.5";
        let given = given(line);
        let text = |text: &str| Source::Text(text.into());
        let expected = [Source::Picture("a.png".into()), text("one"), Source::Embedding("b".into()), text("two")];
        assert_eq!(given.prompts, expected);
        assert_eq!(given.weights, [-0.5, 1.0, 2.0, 0.5]);
    }

    #[test]
    fn nothing_is_nothing() {
        let given = given("");
        assert!(given.prompts.is_empty() && given.weights.is_empty() && given.faults.is_none());
    }
}
