//! The parser of `config.yaml`, as in Flink since 1.19.
//!
//! The file is one YAML 1.2 document. Maps are flattened to keys with dots, scalars become text in
//! Flink's form, and lists are kept.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use flink_traces_api::{RawValue, printable};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, StrInput, Tag};

use super::collector::Collector;
use super::problem::Problem;
use super::scalar::{Scalar, resolve};

/// The maximum nesting depth of maps and lists.
const DEEPEST: usize = 64;

/// The maximum size of all keys and values after aliases are replaced, in bytes.
///
/// Each value counts with an allowance. Flink's files hold a few kilobytes.
const LARGEST: usize = 16 << 20;
const ALLOWANCE: usize = 64;

/// The maximum number of keys, values, maps and lists.
const MOST_NODES: usize = LARGEST / ALLOWANCE;

/// Parses the document. A syntax error discards all values; any other problem keeps the rest.
pub(super) fn parse(text: &str, collector: &mut Collector) {
    let text = text.trim_start_matches('\u{feff}');
    if let Some((before, _)) = text.split_once('\0') {
        let (line, column) = before.chars().fold((1, 1), |(line, column), c| match c {
            '\n' => (line + 1, 1),
            _ => (line, column + 1),
        });
        return collector.report(line, column, Problem::error("unexpected NUL character"));
    }
    if let Some((line, column)) = tab_before_first_token(text) {
        return collector.report(line, column, Problem::error("unexpected tab before the first key"));
    }
    let mut composer = Composer { events: Parser::new_from_str(text), anchors: HashMap::new(), count: 0 };
    let mut flattener = Flattener { collector, size: 0 };
    let flattened = composer.document().and_then(|root| flattener.root(root.as_deref()));
    if let Err(Fault { at, message }) = flattened {
        flattener.collector.values.clear();
        // Without a blank after its colon, a key is a text that goes on in the next line. The
        // parser notices that only there.
        match key_without_blank(text, at.line()) {
            Some((line, column)) => {
                collector.report(line, column, Problem::error("expected a blank after the colon"));
            }
            None => flattener.report(at, None, message),
        }
    }
    collector.problems.sort_by_key(|problem| problem.origin.as_ref().map(|origin| (origin.line, origin.column)));
}

/// Returns the line and the column of a tab that indents the first line with content.
///
/// The parser accepts it, but Flink's does not.
fn tab_before_first_token(text: &str) -> Option<(usize, usize)> {
    let is_empty = |line: &str| {
        let content = line.trim();
        content.is_empty() || content.starts_with('#') || line.starts_with('%') || content == "---"
    };
    let (line, content) = text.lines().enumerate().find(|(_, line)| !is_empty(line))?;
    let column = content.len() - content.trim_start_matches(' ').len();
    content[column..].starts_with('\t').then_some((line + 1, column + 1))
}

/// Returns the line and the column of the last line up to `limit` that has a key and a value
/// without a blank after the colon.
fn key_without_blank(text: &str, limit: usize) -> Option<(usize, usize)> {
    let is_glued = |line: &str| {
        let Some((key, value)) = line.trim_start().split_once(':') else { return false };
        let is_key = key.starts_with(|c: char| c.is_ascii_alphabetic())
            && key.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        // `//` is the beginning of a URL in the lines of a longer text.
        is_key && !value.is_empty() && !value.starts_with([' ', '\t']) && !value.starts_with("//")
    };
    let lines = text.lines().take(limit).enumerate();
    let (line, content) = lines.filter(|(_, line)| is_glued(line) && !line.contains(": ")).last()?;
    Some((line + 1, content.len() - content.trim_start().len() + 1))
}

/// The error that ends parsing.
struct Fault {
    at: Marker,
    message: String,
}

impl Fault {
    fn new<T>(at: Marker, message: impl Into<String>) -> Result<T, Self> {
        Err(Self { at, message: message.into() })
    }
}

impl From<ScanError> for Fault {
    fn from(error: ScanError) -> Self {
        let hint =
            if error.info().contains("unknown anchor") { "; a value that begins with * must be in quotes" } else { "" };
        Self { at: *error.marker(), message: printable(error.info()) + hint }
    }
}

struct Node {
    content: Content,
    at: Marker,
    /// The number of nested maps and lists, including this one.
    height: usize,
}

enum Content {
    Scalar(Scalar),
    List(Vec<Rc<Node>>),
    Map(Vec<(Rc<Node>, Rc<Node>)>),
}

/// Builds nodes from parser events.
struct Composer<'a> {
    events: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Rc<Node>>,
    count: usize,
}

impl<'a> Composer<'a> {
    /// Returns the root of the only document; `None` if the file is empty.
    fn document(&mut self) -> Result<Option<Rc<Node>>, Fault> {
        let mut root = None;
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(root),
                (Event::DocumentStart(_), at) if root.is_some() => {
                    return Fault::new(at, "unexpected second document");
                }
                (Event::DocumentStart(_), _) => {
                    let (event, at) = self.next()?;
                    root = Some(self.node(event, at, 0)?);
                }
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Marker), Fault> {
        match self.events.next_event() {
            Some(event) => event.map(|(event, span)| (event, span.start)).map_err(Fault::from),
            None => Ok((Event::StreamEnd, Marker::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, at: Marker, depth: usize) -> Result<Rc<Node>, Fault> {
        self.count += 1;
        if depth > DEEPEST {
            return too_deep(at);
        }
        if self.count > MOST_NODES {
            return Fault::new(at, format!("more than {MOST_NODES} keys and values"));
        }
        let (content, anchor) = match event {
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(node) if depth + node.height > DEEPEST => return too_deep(at),
                Some(node) => return Ok(node.clone()),
                None => return Fault::new(at, "alias within its own anchor"),
            },
            Event::Scalar(text, style, anchor, tag) => {
                let scalar = match (style, tag.as_deref()) {
                    (ScalarStyle::Plain, None) => resolve(&text),
                    (_, None) => Scalar::Text(text.into_owned()),
                    (_, Some(tag)) if is_text(tag) => Scalar::Text(text.into_owned()),
                    _ => return Fault::new(at, "only the tag !!str is supported"),
                };
                (Content::Scalar(scalar), anchor)
            }
            Event::SequenceStart(anchor, None) => {
                let mut items = Vec::new();
                while let Some((event, at)) = self.next_before(&Event::SequenceEnd)? {
                    items.push(self.node(event, at, depth + 1)?);
                }
                (Content::List(items), anchor)
            }
            Event::MappingStart(anchor, None) => {
                let mut entries = Vec::new();
                while let Some((event, at)) = self.next_before(&Event::MappingEnd)? {
                    let key = self.node(event, at, depth + 1)?;
                    let (event, at) = self.next()?;
                    entries.push((key, self.node(event, at, depth + 1)?));
                }
                (Content::Map(entries), anchor)
            }
            _ => return Fault::new(at, "only the tag !!str is supported"),
        };
        let height = match &content {
            Content::Scalar(_) => 0,
            Content::List(items) => 1 + items.iter().map(|item| item.height).max().unwrap_or(0),
            Content::Map(entries) => {
                1 + entries.iter().map(|(key, value)| key.height.max(value.height)).max().unwrap_or(0)
            }
        };
        let node = Rc::new(Node { content, at, height });
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn next_before(&mut self, end: &Event<'_>) -> Result<Option<(Event<'a>, Marker)>, Fault> {
        let (event, at) = self.next()?;
        Ok((event != *end).then_some((event, at)))
    }
}

fn too_deep<T>(at: Marker) -> Result<T, Fault> {
    Fault::new(at, format!("maps and lists nest deeper than {DEEPEST}"))
}

fn is_text(tag: &Tag) -> bool {
    tag.is_yaml_core_schema() && tag.suffix == "str" || tag.handle.is_empty() && tag.suffix == "!"
}

/// Flattens nodes to keys and values.
struct Flattener<'a> {
    collector: &'a mut Collector,
    size: usize,
}

impl Flattener<'_> {
    fn root(&mut self, root: Option<&Node>) -> Result<(), Fault> {
        match root {
            None | Some(Node { content: Content::Scalar(Scalar::Null), .. }) => Ok(()),
            Some(Node { content: Content::Map(entries), .. }) => self.map(entries, ""),
            Some(node) => Fault::new(node.at, "not a map of keys and values"),
        }
    }

    fn map(&mut self, entries: &[(Rc<Node>, Rc<Node>)], prefix: &str) -> Result<(), Fault> {
        for (key, at, node) in self.entries(entries, prefix) {
            self.count(node, key.len())?;
            match &node.content {
                Content::Map(entries) => self.map(entries, &format!("{key}."))?,
                Content::List(items) => {
                    let items = items.iter().map(|item| self.item(item, &key)).collect::<Result<_, _>>()?;
                    self.set(&key, RawValue::List(items), at);
                }
                Content::Scalar(scalar) => match self.scalar(scalar) {
                    Ok(text) => self.set(&key, RawValue::Text(text), at),
                    Err(message) => self.report(at, Some(key), message),
                },
            }
        }
        Ok(())
    }

    /// Returns the entries whose keys are text, without repeated keys.
    fn entries<'n>(&mut self, entries: &'n [(Rc<Node>, Rc<Node>)], prefix: &str) -> Vec<(String, Marker, &'n Node)> {
        let mut known = HashSet::new();
        let mut good = Vec::new();
        for (key, value) in entries {
            let Content::Scalar(Scalar::Text(text)) = &key.content else {
                let key_of_map = (!prefix.is_empty()).then(|| prefix.trim_end_matches('.').to_owned());
                self.report(key.at, key_of_map, "expected text as key; quote other values");
                continue;
            };
            let full = format!("{prefix}{text}");
            if known.insert(text) {
                good.push((full, key.at, &**value))
            } else {
                self.report(key.at, Some(full), "set twice in one map")
            }
        }
        good
    }

    /// Returns an item of a list as text.
    fn item(&mut self, node: &Node, key: &str) -> Result<String, Fault> {
        self.count(node, 0)?;
        Ok(match &node.content {
            Content::Scalar(scalar) => self.scalar(scalar).unwrap_or_else(|message| {
                self.report(node.at, Some(key.to_owned()), message);
                String::new()
            }),
            Content::List(items) => {
                let items = items.iter().map(|item| self.item(item, key)).collect::<Result<_, _>>()?;
                RawValue::List(items).to_string()
            }
            Content::Map(entries) => {
                let mut texts = Vec::new();
                for (name, _, node) in self.entries(entries, "") {
                    let value = RawValue::List(vec![self.item(node, key)?]).to_string();
                    texts.push(format!("{name}: {}", &value[1..value.len() - 1]));
                }
                format!("{{{}}}", texts.join(", "))
            }
        })
    }

    fn scalar(&self, scalar: &Scalar) -> Result<String, &'static str> {
        match scalar {
            Scalar::Text(text) | Scalar::Typed(text) => Ok(text.clone()),
            Scalar::Null => Err("has no value"),
            Scalar::TooLarge => Err("number too large; quote it"),
        }
    }

    fn count(&mut self, node: &Node, key: usize) -> Result<(), Fault> {
        let text = match &node.content {
            Content::Scalar(Scalar::Text(text) | Scalar::Typed(text)) => text.len(),
            _ => 0,
        };
        self.size += key + text + ALLOWANCE;
        if self.size > LARGEST {
            return Fault::new(node.at, format!("larger than {} MiB with aliases replaced", LARGEST >> 20));
        }
        Ok(())
    }

    fn set(&mut self, key: &str, raw: RawValue, at: Marker) {
        if self.collector.values.contains_key(key) {
            let problem = Problem::warning("set twice, in different maps, of which the last counts");
            self.collector.report(at.line(), at.col() + 1, Problem { key: Some(key.to_owned()), ..problem });
        }
        self.collector.set(key, raw, at.line(), at.col() + 1);
    }

    fn report(&mut self, at: Marker, key: Option<String>, message: impl Into<String>) {
        self.collector.report(at.line(), at.col() + 1, Problem { key, ..Problem::error(message) });
    }
}
