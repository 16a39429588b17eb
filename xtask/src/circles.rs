//! Import circles: files of one crate that import names from each other, directly or through others.
//!
//! An import counts towards the file that defines the name, whichever module re-exports it, so a `mod.rs` that only
//! declares and re-exports its children imports nothing from them. Tests do not count. Paths are read from the tokens
//! (`use` trees, and `crate::`, `super::`, `self::` or a child module's name anywhere else); paths built by macros are
//! not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fs, iter};

/// Prints the circles of every crate of the workspace.
///
/// # Errors
/// If a crate has one.
pub(crate) fn circles(arguments: &[&str]) -> Result<(), String> {
    crate::tools::nothing_more(arguments)?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("the repository has no folder")?;
    let mut crates = folder(&root.join("crates"))?;
    crates.push(root.join("xtask"));
    let mut wrong = Vec::new();
    for path in crates.iter().filter(|path| path.join("src").is_dir()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut files = BTreeMap::new();
        read(&path.join("src"), &mut Vec::new(), &mut files)?;
        let imports = imports(&files);
        let circles = find(&imports);
        for circle in &circles {
            println!("{name}: a circle of {} files", circle.len());
            for from in circle {
                let to: Vec<String> = imports[from].intersection(circle).map(shown).collect();
                println!("  {} takes from {}", shown(from), to.join(", "));
            }
        }
        if !circles.is_empty() {
            wrong.push(name);
        }
    }
    match wrong[..] {
        [] => Ok(()),
        _ => Err(format!("files import each other in circles in {}", wrong.join(", "))),
    }
}

/// A module of a crate: its path from the root, as names.
type Module = Vec<String>;

fn shown(module: &Module) -> String {
    iter::once("crate").chain(module.iter().map(String::as_str)).collect::<Vec<_>>().join("::")
}

fn folder(path: &Path) -> Result<Vec<std::path::PathBuf>, String> {
    let entries = fs::read_dir(path).map_err(|why| format!("{}: {why}", path.display()))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

/// Reads the tokens of every file of a crate.
fn read(path: &Path, module: &mut Module, files: &mut BTreeMap<Module, Vec<String>>) -> Result<(), String> {
    for path in folder(path)? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            module.push(name);
            read(&path, module, files)?;
            module.pop();
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).map_err(|why| format!("{}: {why}", path.display()))?;
            let own = if ["lib", "main", "mod"].contains(&name.as_str()) { None } else { Some(name) };
            files.insert(module.iter().cloned().chain(own).collect(), without_tests(tokens(&text)));
        }
    }
    Ok(())
}

/// Splits source text into names and punctuation, without comments and the contents of strings.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let starts = |at: usize, sign: &str| sign.chars().enumerate().all(|(i, c)| chars.get(at + i) == Some(&c));
    let after = |at: usize, sign: &str| {
        (at..chars.len()).find(|at| starts(*at, sign)).map_or(chars.len(), |at| at + sign.len())
    };
    let (mut tokens, mut at) = (Vec::new(), 0);
    while let Some(&c) = chars.get(at) {
        match c {
            '/' if starts(at, "//") => at = after(at, "\n"),
            '/' if starts(at, "/*") => at = after(at, "*/"),
            '"' => {
                at += 1;
                while chars.get(at).is_some_and(|c| *c != '"') {
                    at += if chars[at] == '\\' { 2 } else { 1 };
                }
                at += 1;
            }
            '\'' if starts(at + 1, "\\") => at = after(at + 3, "'"),
            '\'' if chars.get(at + 2) == Some(&'\'') => at += 3,
            _ if is_name(c) => {
                let name: String = chars[at..].iter().copied().take_while(|c| is_name(*c)).collect();
                at += name.chars().count();
                let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
                if ["r", "br", "cr"].contains(&name.as_str()) && chars.get(at + hashes) == Some(&'"') {
                    at = after(at + hashes + 1, &format!("\"{}", "#".repeat(hashes)));
                } else {
                    tokens.push(name);
                }
            }
            ':' if starts(at, "::") => {
                tokens.push("::".into());
                at += 2;
            }
            _ => {
                tokens.extend((!c.is_whitespace()).then(|| c.to_string()));
                at += 1;
            }
        }
    }
    tokens
}

/// Returns the index after the bracket that closes the one at `at`.
fn closed(tokens: &[String], at: usize) -> usize {
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate().skip(at) {
        match token.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i + 1;
        }
    }
    tokens.len()
}

/// Removes test code. A test module in a file of its own leaves `test mod NAME`.
fn without_tests(tokens: Vec<String>) -> Vec<String> {
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        let begins = |words: &[&str]| tokens[at..].iter().zip(words).filter(|(a, b)| *a == *b).count() == words.len();
        if !begins(&["#", "[", "cfg", "(", "test", ")"]) && !begins(&["#", "[", "cfg", "(", "all", "(", "test"]) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        // Its attributes, and the item up to its end.
        while tokens.get(at).is_some_and(|token| token == "#") {
            at = closed(&tokens, at + 1);
        }
        let item = at;
        while tokens.get(at).is_some_and(|token| token != ";" && token != "{") {
            at = if ["(", "["].contains(&tokens[at].as_str()) { closed(&tokens, at) } else { at + 1 };
        }
        if tokens.get(at).is_some_and(|token| token == ";") {
            if let Some(mark) = tokens[item..at].iter().position(|token| token == "mod") {
                kept.extend(["test".into(), "mod".into(), tokens[item + mark + 1].clone()]);
            }
            at += 1;
        } else {
            at = closed(&tokens, at);
            // The semicolon after a `use` tree.
            at += usize::from(tokens.get(at).is_some_and(|token| token == ";"));
        }
    }
    kept
}

/// The names in a file.
#[derive(Default)]
struct File {
    /// Names that `use` imports, with their paths; `*` counts as a name.
    bound: Vec<(String, Vec<String>)>,
    /// Names that are re-exported but not used here.
    passed_on: BTreeSet<String>,
    /// Paths that are written out.
    paths: Vec<Vec<String>>,
}

impl File {
    fn of(tokens: &[String]) -> Self {
        let mut file = Self::default();
        let mut elsewhere = BTreeSet::new();
        // Open braces, and the brace depths at which inline modules begin.
        let (mut open, mut inside, mut at) = (0, Vec::new(), 0);
        while at < tokens.len() {
            match tokens[at].as_str() {
                "use" if tokens.get(at + 1).is_some_and(|token| token != "<") => {
                    let end = (at..tokens.len()).find(|i| tokens[*i] == ";").unwrap_or(tokens.len());
                    let public = at > 0 && (tokens[at - 1] == "pub" || tokens[at - 1] == ")");
                    let before = file.bound.len();
                    expand(&tokens[at + 1..end], &[], &mut file.bound);
                    for (name, path) in &mut file.bound[before..] {
                        *path = at_the_file(path, inside.len());
                        file.passed_on.extend(public.then(|| name.clone()));
                    }
                    at = end;
                }
                // A visibility, which imports nothing.
                "pub" if tokens.get(at + 1).is_some_and(|token| token == "(") => at = closed(tokens, at + 1) - 1,
                "mod" => {
                    inside.extend(tokens.get(at + 2).is_some_and(|token| token == "{").then_some(open));
                    at += 1;
                }
                "{" => open += 1,
                "}" => {
                    open -= 1;
                    inside.pop_if(|begin| *begin == open);
                }
                name if is_name(name) && (at == 0 || tokens[at - 1] != "::") => {
                    let mut path = vec![name.to_owned()];
                    let mut next = at + 1;
                    while let [sign, name, ..] = &tokens[next..]
                        && sign == "::"
                        && is_name(name)
                    {
                        path.push(name.clone());
                        next += 2;
                    }
                    elsewhere.insert(path[0].clone());
                    if path.len() > 1 {
                        file.paths.push(at_the_file(&path, inside.len()));
                    }
                }
                _ => {}
            }
            at += 1;
        }
        file.passed_on.retain(|name| !elsewhere.contains(name));
        file
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Rewrites a path as it would be outside the file's inline modules.
fn at_the_file(path: &[String], inside: usize) -> Vec<String> {
    let up = path.iter().take_while(|name| *name == "super").count().min(inside);
    path[up..].to_vec()
}

/// Expands the names and paths of a `use` tree.
fn expand(tree: &[String], before: &[String], bound: &mut Vec<(String, Vec<String>)>) {
    let mut at = 0;
    while at < tree.len() {
        let mut path = before.to_vec();
        while at < tree.len() && tree[at] != "," {
            match tree[at].as_str() {
                "{" => {
                    let end = closed(tree, at);
                    expand(&tree[at + 1..end - 1], &path, bound);
                    path.clear();
                    at = end;
                    continue;
                }
                "::" => {}
                "self" if !path.is_empty() => {}
                "as" => {
                    bound.push((tree[at + 1].clone(), std::mem::take(&mut path)));
                    at += 1;
                }
                name => path.push(name.to_owned()),
            }
            at += 1;
        }
        if let Some(name) = path.last() {
            bound.push((name.clone(), path.clone()));
        }
        at += 1;
    }
}

/// Returns, for each file, the files that it imports from.
fn imports(tokens: &BTreeMap<Module, Vec<String>>) -> BTreeMap<Module, BTreeSet<Module>> {
    let mut tested = BTreeSet::new();
    for (module, tokens) in tokens {
        let marks = tokens.windows(3).filter(|window| window[0] == "test" && window[1] == "mod");
        tested.extend(marks.map(|window| [&module[..], &window[2..]].concat()));
    }
    let files: BTreeMap<Module, File> = tokens
        .iter()
        .filter(|(module, _)| !tested.iter().any(|test| module.starts_with(test)))
        .map(|(module, tokens)| (module.clone(), File::of(tokens)))
        .collect();
    let taken = |(module, file): (&Module, &File)| {
        let used = file.bound.iter().filter(|(name, _)| !file.passed_on.contains(name)).map(|(_, path)| path);
        let from = used.chain(&file.paths).filter_map(|path| definer(&files, module, path, 0));
        (module.clone(), from.filter(|from| from != module).collect())
    };
    files.iter().map(taken).collect()
}

/// Returns the file that defines what a path in a module refers to; `None` if another crate does.
fn definer(files: &BTreeMap<Module, File>, module: &Module, path: &[String], depth: usize) -> Option<Module> {
    let mut at = module.clone();
    let mut begun = false;
    for name in path {
        match name.as_str() {
            "crate" => at.clear(),
            "self" => {}
            "super" => drop(at.pop()),
            name => {
                let child = [&at[..], &[name.to_owned()]].concat();
                if files.contains_key(&child) {
                    at = child;
                } else {
                    // A name that this module imports is defined further on.
                    let file = &files[&at];
                    let bound = file.bound.iter().filter(|(bound, path)| {
                        begun && depth < 8 && (bound == name || bound == "*" && at != *module && !path.is_empty())
                    });
                    let mut behind = bound.filter_map(|(bound, path)| {
                        let found = definer(files, &at, path, depth + 1)?;
                        (bound == name || defines(files, &found, name)).then_some(found)
                    });
                    return behind.next().or(begun.then_some(at.clone()));
                }
            }
        }
        begun = true;
    }
    Some(at)
}

/// Returns whether a module imports this name.
fn defines(files: &BTreeMap<Module, File>, module: &Module, name: &str) -> bool {
    files[module].bound.iter().any(|(bound, _)| bound == name)
}

/// Returns groups of more than one file that reach each other.
fn find(imports: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<BTreeSet<Module>> {
    let reached = |from: &Module| {
        let (mut found, mut next) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(module) = next.pop() {
            let new = imports[&module].iter().filter(|to| found.insert((*to).clone()));
            next.extend(new.cloned().collect::<Vec<_>>());
        }
        found
    };
    let reached: BTreeMap<&Module, BTreeSet<Module>> = imports.keys().map(|from| (from, reached(from))).collect();
    let circle = |from: &Module| reached[from].iter().filter(|to| reached[*to].contains(from)).cloned().collect();
    let circles: BTreeSet<BTreeSet<Module>> = imports.keys().map(circle).collect();
    circles.into_iter().filter(|circle| circle.len() > 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finds the circles of a crate of these files.
    fn found(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let module = |name: &str| name.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let files = files.iter().map(|(name, text)| (module(name), without_tests(tokens(text)))).collect();
        find(&imports(&files)).iter().map(|circle| circle.iter().map(shown).collect()).collect()
    }

    #[test]
    fn files_that_take_from_each_other_are_a_circle() {
        let root = ("", "mod a; mod b; mod c; pub use a::{A, helper as help}; pub use c::*;");
        let straight = [root, ("a", "use crate::b::B;"), ("b", "/* a */ use crate::{c, help};"), ("c", "struct C;")];
        assert_eq!(found(&straight), [["crate::a", "crate::b"]]);
        let around = [root, ("a", "use super::b;"), ("b", "fn f() { crate::c::g() }"), ("c", "use crate::{x::Y, A};")];
        assert_eq!(found(&around), [["crate::a", "crate::b", "crate::c"]]);
    }

    #[test]
    fn a_parent_that_only_re_exports_is_no_part_of_one() {
        let inner = ("a/inner", "use super::Shared; pub(in crate::a) struct Inner;");
        let passes_on =
            [("", "mod a;"), ("a", "mod inner; pub(in crate::a) use inner::{Inner, inner}; pub struct Shared;"), inner];
        assert!(found(&passes_on).is_empty());
        let uses = [("", "mod a;"), ("a", "mod inner; pub use inner::Inner; pub struct Shared(Inner);"), inner];
        assert_eq!(found(&uses), [["crate::a", "crate::a::inner"]]);
        let calls = [("", "mod a;"), ("a", "mod inner; pub struct Shared; fn f() { inner::g() }"), inner];
        assert_eq!(found(&calls), [["crate::a", "crate::a::inner"]]);
    }

    #[test]
    fn tests_comments_and_strings_take_nothing() {
        let a = "// crate::b\nconst A: &str = r#\"crate::b \"x\" \"#; fn f<'a>(c: char) -> bool { c == '\"' }
            #[cfg(test)] use crate::b::{B, C};
            #[cfg(all(test, unix))] #[expect(unused)] mod tests { use super::*; use crate::b::B; }
            #[cfg(test)] mod more;";
        let files = [("", "mod a; mod b;"), ("a", a), ("a/more", "use crate::b::B;"), ("b", "use crate::a::A;")];
        assert!(found(&files).is_empty());
        assert_eq!(found(&[files[0], ("a", "mod m { use super::super::b; }"), files[3]]), [["crate::a", "crate::b"]]);
    }
}
