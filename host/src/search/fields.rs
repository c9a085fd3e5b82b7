//! Fields of a recipe by dotted path, and the values to try for each.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use toml_edit::{DocumentMut, InlineTable, Item, TableLike, Value};

use super::SearchError;
use crate::recipe::Recipe;

/// A field, and the values to try: `train.batch=16,32`, `layer.dense_1.units=100,200`.
#[derive(Debug, Clone)]
pub struct Axis {
    /// Sections and fields, with dots between; a layer by its name, a head by its layer's.
    pub field: String,
    /// TOML values; a bare word is a string.
    pub values: Vec<Value>,
}

/// A field with one of its values.
#[derive(Debug, Clone)]
pub struct Setting {
    /// As [`Axis::field`].
    pub field: String,
    /// The value.
    pub value: Value,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.field, shown(&self.value))
    }
}

/// A value without the blanks around it; a string without its quotes.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.value().clone(),
        other => other.to_string().trim().to_owned(),
    }
}

/// Why a `--set` cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("wanted FIELD=VALUE,…, such as train.batch=16,32, found `{found}`")]
pub struct AxisError {
    found: String,
}

impl FromStr for Axis {
    type Err = AxisError;

    fn from_str(text: &str) -> Result<Self, AxisError> {
        let error = || AxisError {
            found: text.to_owned(),
        };
        let (field, values) = text.split_once('=').ok_or_else(error)?;
        let field = field.trim();
        let values: Vec<&str> = commas(values).into_iter().map(str::trim).collect();
        if field.split('.').any(str::is_empty) || values.iter().any(|value| value.is_empty()) {
            return Err(error());
        }
        let value = |text: &str| text.parse().unwrap_or_else(|_| Value::from(text));
        Ok(Self {
            field: field.to_owned(),
            values: values.into_iter().map(value).collect(),
        })
    }
}

/// The parts between commas that stand in no bracket and no quotes.
fn commas(text: &str) -> Vec<&str> {
    let (mut parts, mut from, mut depth, mut quote) = (Vec::new(), 0, 0, None);
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (Some(mark), _) if mark == letter => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(letter),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth -= 1,
            (None, ',') if depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            (None, _) => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

/// Every combination of the axes' values, the last axis fastest.
pub(super) fn combinations(axes: &[Axis]) -> Vec<Vec<Setting>> {
    let mut all = vec![Vec::new()];
    for axis in axes {
        let longer = |before: &Vec<Setting>| {
            let values = axis.values.iter();
            let before = before.clone();
            values
                .map(move |value| {
                    let (field, value) = (axis.field.clone(), value.clone());
                    let mut settings = before.clone();
                    settings.push(Setting { field, value });
                    settings
                })
                .collect::<Vec<_>>()
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}

/// The recipe with `settings` in place; what the text says besides stays as it is.
///
/// # Errors
/// A field that is in no table, and recipes that are refused: with file, settings and line.
pub(super) fn apply(
    base: &Recipe,
    path: &Path,
    settings: &[Setting],
) -> Result<Recipe, SearchError> {
    let mut document: DocumentMut = base.text.parse().map_err(|source| SearchError::Edit {
        path: path.to_owned(),
        source: Box::new(source),
    })?;
    for setting in settings {
        let missing = || SearchError::Field {
            path: path.to_owned(),
            layers: names(base),
            field: setting.field.clone(),
        };
        let (table, field) = find(&mut document, base, &setting.field).ok_or_else(missing)?;
        set(table, field, setting.value.clone()).ok_or_else(missing)?;
    }
    let with: Vec<String> = settings.iter().map(Setting::to_string).collect();
    let place = match with.is_empty() {
        true => path.to_owned(),
        false => format!("{} with {}", path.display(), with.join(", ")).into(),
    };
    Ok(Recipe::parse(&document.to_string(), &place)?)
}

/// `conv2d_1, dense_1`.
fn names(recipe: &Recipe) -> String {
    let names: Vec<&str> = recipe
        .layers()
        .iter()
        .map(|layer| layer.name.as_str())
        .collect();
    names.join(", ")
}

/// The table in which a path begins, and the rest of the path.
fn find<'d, 'f>(
    document: &'d mut DocumentMut,
    base: &Recipe,
    field: &'f str,
) -> Option<(&'d mut dyn TableLike, &'f str)> {
    // Names of layers may have dots: the longest that fits.
    let behind = |names: &mut dyn Iterator<Item = (usize, &str)>, rest: &'f str| {
        let fits = names.filter_map(|(at, name)| {
            let rest = rest.strip_prefix(name)?.strip_prefix('.')?;
            Some((at, rest))
        });
        fits.min_by_key(|(_, rest)| rest.len())
    };
    if let Some(rest) = field.strip_prefix("layer.") {
        let layers = base.layers().iter().enumerate();
        let mut names = layers.map(|(at, layer)| (at, layer.name.as_str()));
        let (at, rest) = behind(&mut names, rest)?;
        return Some((element(document.get_mut("layer")?, at)?, rest));
    }
    if let Some(rest) = field.strip_prefix("train.head.") {
        let heads = base.train.heads.iter().enumerate();
        let mut names = heads.map(|(at, head)| (at, base.layers()[head.layer].name.as_str()));
        let (at, rest) = behind(&mut names, rest)?;
        let heads = document
            .get_mut("train")?
            .as_table_like_mut()?
            .get_mut("head")?;
        return Some((element(heads, at)?, rest));
    }
    Some((document.as_table_mut(), field))
}

/// A table of a list, as `[[layer]]` or in brackets.
fn element(list: &mut Item, at: usize) -> Option<&mut dyn TableLike> {
    match list {
        Item::ArrayOfTables(tables) => Some(tables.get_mut(at)?),
        Item::Value(Value::Array(tables)) => Some(tables.get_mut(at)?.as_inline_table_mut()?),
        _ => None,
    }
}

/// Sets a field in a table or one of those within, which are made where they lack.
fn set(table: &mut dyn TableLike, field: &str, mut value: Value) -> Option<()> {
    match field.split_once('.') {
        None => {
            // A comment behind the old value stays.
            if let Some(before) = table.get(field).and_then(Item::as_value) {
                *value.decor_mut() = before.decor().clone();
            }
            table.insert(field, Item::Value(value));
            Some(())
        }
        Some((first, rest)) => {
            let within = table.entry(first);
            let within = within.or_insert_with(|| Value::from(InlineTable::new()).into());
            set(within.as_table_like_mut()?, rest, value)
        }
    }
}

/// The recipe as it is trained in the end: on all samples, with this seed, and where the search stopped early for so many
/// epochs.
pub(super) fn whole(
    recipe: &Recipe,
    path: &Path,
    seed: u64,
    epochs: Option<usize>,
) -> Result<Recipe, SearchError> {
    let integer = |number: u64| Value::from(i64::try_from(number).unwrap_or(i64::MAX));
    let mut settings = vec![
        ("data.validation", integer(0)),
        ("train.seed", integer(seed)),
    ];
    let mut base = recipe.clone();
    if let Some(epochs) = epochs {
        settings.push(("train.epochs", integer(epochs as u64)));
        base.text = without_stop(recipe, path)?;
    }
    let settings = settings.into_iter().map(|(field, value)| Setting {
        field: field.to_owned(),
        value,
    });
    apply(&base, path, &settings.collect::<Vec<_>>())
}

fn without_stop(recipe: &Recipe, path: &Path) -> Result<String, SearchError> {
    let mut document: DocumentMut = recipe.text.parse().map_err(|source| SearchError::Edit {
        path: path.to_owned(),
        source: Box::new(source),
    })?;
    let train = document.get_mut("train").and_then(Item::as_table_like_mut);
    train.and_then(|train| train.remove("stop"));
    Ok(document.to_string())
}
