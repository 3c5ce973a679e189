//! A template: what a swarm's scenarios have in common. What it says stays; the rest is drawn.
//!
//! Invariant: completing a template never changes a value that stands in it.

use crate::unit;
use serde_yaml::{Mapping, Value};
use std::time::Duration;
use thiserror::Error;

/// The template is no mapping of fields, so nothing can be added to it.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct TemplateError(pub String);

/// A scenario that may lack anything.
#[derive(Clone, Debug, Default)]
pub struct Template(Mapping);

impl Template {
    /// Reads a template's text; whether its values are right shows when a scenario made from it is read.
    pub fn read(text: &str) -> Result<Template, TemplateError> {
        let value: Value = serde_yaml::from_str(text).map_err(|error| TemplateError(error.to_string()))?;
        match value {
            Value::Mapping(fields) => Ok(Template(fields)),
            Value::Null => Ok(Template::default()),
            _ => Err(TemplateError("a template is a mapping of fields, such as a scenario".to_owned())),
        }
    }

    fn find(&self, path: &[&str]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.0.get(*first)?, |value, field| value.get(*field))
    }

    /// Whether something stands there.
    pub fn has(&self, path: &[&str]) -> bool {
        self.find(path).is_some()
    }

    /// The whole number that stands there.
    pub fn count(&self, path: &[&str]) -> Option<u64> {
        self.find(path)?.as_u64()
    }

    /// The word that stands there.
    pub fn word(&self, path: &[&str]) -> Option<String> {
        self.find(path)?.as_str().map(str::to_owned)
    }

    /// The interval of the first engine that says one.
    pub fn interval(&self) -> Option<Duration> {
        let engines = self.find(&["engines"])?.as_sequence()?;
        let options = engines.iter().filter_map(|engine| engine.as_mapping()?.values().next());
        let mut intervals = options.filter_map(|options| options.get("interval")?.as_str());
        intervals.next().and_then(|interval| unit::duration(interval).ok())
    }

    /// The engines that it names.
    pub fn engines(&self) -> Vec<String> {
        let engines = self.find(&["engines"]).and_then(Value::as_sequence);
        let names = engines.into_iter().flatten().filter_map(|engine| engine.as_mapping()?.keys().next()?.as_str());
        names.map(str::to_owned).collect()
    }

    /// The template with what it lacks taken from `drawn`, a scenario's text. The title and the seed are the drawn
    /// ones: they tell the scenarios apart.
    pub fn complete(&self, drawn: &str) -> String {
        if self.0.is_empty() {
            return drawn.to_owned();
        }
        let drawn: Mapping = serde_yaml::from_str(drawn).expect("a drawn scenario is valid YAML");
        let mut fixed = self.0.clone();
        fixed.remove("title");
        fixed.remove("seed");
        let mut whole = merged(fixed, &drawn);
        if let (Some(Value::Sequence(engines)), Some(Value::Sequence(drawn))) =
            (whole.get_mut("engines"), drawn.get("engines"))
        {
            engines.iter_mut().for_each(|engine| fill_options(engine, drawn));
        }
        serde_yaml::to_string(&whole).expect("what was read as YAML is written as YAML")
    }
}

/// `fixed`, with what it lacks taken from `drawn`, field by field. A list is fixed as a whole.
fn merged(mut fixed: Mapping, drawn: &Mapping) -> Mapping {
    for (key, value) in drawn {
        match (fixed.get_mut(key), value) {
            (None, _) => drop(fixed.insert(key.clone(), value.clone())),
            // A source has one kind: what the drawn one says of another has no place beside it.
            (Some(Value::Mapping(inner)), Value::Mapping(drawn)) if key.as_str() != Some("source") => {
                *inner = merged(std::mem::take(inner), drawn);
            }
            (Some(_), _) => {}
        }
    }
    fixed
}

/// The options that an engine of the template does not name are the drawn ones of the same engine.
fn fill_options(engine: &mut Value, drawn: &[Value]) {
    let Some((name, options)) = engine.as_mapping_mut().and_then(|engine| engine.iter_mut().next()) else { return };
    let of_name = drawn.iter().filter_map(|engine| engine.as_mapping()?.get(name)?.as_mapping());
    let Some(drawn) = of_name.into_iter().next() else { return };
    let fixed = options.as_mapping().cloned().unwrap_or_default();
    *options = Value::Mapping(merged(fixed, drawn));
}
