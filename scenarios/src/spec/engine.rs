//! `engines:`, as written. Which engines and options there are, the declarations say.

use super::scalar::{bytes, count, duration_or_zero, text, words};
use super::{At, Fields, Place, Reader};
use crate::context::{Context, EngineDeclaration};
use crate::unit::{show_bytes, show_duration};
use crate::yaml::Value;
use dstream_cluster::option::Unbuilt;
use dstream_cluster::{OptionKind, OptionSpec, OptionValue};

/// What an option or parameter is set to that is switched off.
const OFF: &str = "off";

/// One engine of the comparison, as written.
#[derive(Debug)]
pub(crate) struct EngineWritten<'c> {
    pub name: At<String>,
    pub declaration: &'c EngineDeclaration,
    pub label: At<String>,
    pub options: Vec<(String, At<OptionValue>)>,
}

/// Reads `engines:`.
pub(crate) fn read_engines<'c>(
    reader: &mut Reader<'_>,
    place: &Place<'_>,
    context: &'c Context,
) -> Option<Vec<EngineWritten<'c>>> {
    let items = place.items(reader, "engines: [dstream: {}]")?;
    if items.is_empty() {
        let names = names(context, true);
        reader.wrong(place.spot(), format!("`engines` is empty; name at least one: {names}"));
        return None;
    }
    let engines: Vec<_> = items.iter().map(|item| read_engine(reader, item, context)).collect();
    let engines: Vec<EngineWritten<'c>> = engines.into_iter().collect::<Option<_>>()?;
    for (index, engine) in engines.iter().enumerate() {
        let label = &engine.label.value;
        if engines[..index].iter().any(|first| first.label.value == *label) {
            let message = format!("two engines are called `{label}`; give each its own name, such as `as: {label}-2`");
            reader.wrong(engine.label.at, message);
        }
    }
    Some(engines)
}

fn names(context: &Context, built_only: bool) -> String {
    let engines = context.engines.iter().filter(|engine| engine.built || !built_only);
    engines.map(|engine| format!("`{}`", engine.name)).collect::<Vec<_>>().join(", ")
}

fn read_engine<'c>(reader: &mut Reader<'_>, place: &Place<'_>, context: &'c Context) -> Option<EngineWritten<'c>> {
    if let Value::Text(name) = &place.node.value {
        let name = At { value: name.clone(), at: place.node.at };
        let declaration = declared(reader, &name, context)?;
        return Some(EngineWritten { label: name.clone(), name, declaration, options: Vec::new() });
    }
    let (name, content) = place.single(reader, "an engine with its options, such as `dstream: { interval: 1s }`")?;
    let declaration = declared(reader, &name, context)?;
    let mut fields = Fields::open(reader, &content, "{ interval: 1s }")?;
    let label = fields.optional(reader, "as", words).unwrap_or_else(|| name.clone());
    let options = fields.others();
    let options = options.into_iter().filter_map(|(option, place)| {
        let value = read_option(reader, option, &place, declaration)?;
        Some((option.to_string(), value))
    });
    Some(EngineWritten { options: options.collect(), name, declaration, label })
}

fn declared<'c>(reader: &mut Reader<'_>, name: &At<String>, context: &'c Context) -> Option<&'c EngineDeclaration> {
    let Some(declaration) = context.engines.iter().find(|engine| engine.name == name.value) else {
        let valid: Vec<&str> = context.engines.iter().map(|engine| engine.name.as_str()).collect();
        let message = format!("there is no engine `{}`", name.value.escape_debug());
        reader.wrong_name(name.at, &message, &name.value, &valid);
        return None;
    };
    if !declaration.built {
        let instead = format!("; built are: {}", names(context, true));
        reader.unbuilt(name.at, &format!("the engine `{}`", name.value), &instead);
        return None;
    }
    Some(declaration)
}

fn read_option(
    reader: &mut Reader<'_>,
    name: &str,
    place: &Place<'_>,
    engine: &EngineDeclaration,
) -> Option<At<OptionValue>> {
    let Some(spec) = engine.options.iter().find(|option| option.name == name) else {
        let mut valid: Vec<&str> = engine.options.iter().map(|option| option.name).collect();
        valid.push("as");
        let message = format!("the engine `{}` has no option `{name}`", engine.name);
        reader.wrong_name(place.key_at, &message, name, &valid);
        return None;
    };
    let value = match &place.node.value {
        Value::Text(text) if text == OFF && spec.may_be_off() => At { value: OptionValue::Off, at: place.node.at },
        _ => read_value(reader, place, &spec.kind)?,
    };
    refuse_unbuilt(reader, place, spec, &value.value)?;
    Some(value)
}

fn refuse_unbuilt(reader: &mut Reader<'_>, place: &Place<'_>, spec: &OptionSpec, value: &OptionValue) -> Option<()> {
    let only = match &spec.unbuilt {
        Unbuilt::Nothing => return Some(()),
        Unbuilt::Everything => &OptionValue::Off,
        Unbuilt::AllBut(only) => only,
    };
    if value == only {
        return Some(());
    }
    let found = show_option(value);
    let instead = format!("; its only value is `{}`", show_option(only));
    reader.unbuilt(place.key_at, &format!("`{}: {found}`", spec.name), &instead);
    None
}

/// An option's value as it is read.
pub(crate) fn show_option(value: &OptionValue) -> String {
    match value {
        OptionValue::Off => OFF.to_string(),
        OptionValue::Duration(length) => show_duration(*length),
        OptionValue::Count(count) => count.to_string(),
        OptionValue::Size(size) => show_bytes(*size),
        OptionValue::Factor(factor) => factor.to_string(),
        OptionValue::Choice(word) => word.clone(),
    }
}

fn read_value(reader: &mut Reader<'_>, place: &Place<'_>, kind: &OptionKind) -> Option<At<OptionValue>> {
    let at = place.node.at;
    let value = match kind {
        OptionKind::OrOff(kind) => {
            let before = reader.problems.len();
            let value = read_value(reader, place, kind);
            for problem in &mut reader.problems[before..] {
                problem.message.push_str("; `off` is valid too");
            }
            return value;
        }
        OptionKind::Duration { at_least } => {
            let length = duration_or_zero(reader, place)?.value;
            if length < *at_least {
                return place.expected(reader, &format!("at least `{}`", show_duration(*at_least)));
            }
            OptionValue::Duration(length)
        }
        OptionKind::Count { at_least, at_most } => {
            OptionValue::Count(count(*at_least..=*at_most)(reader, place)?.value)
        }
        OptionKind::Size { at_least } => {
            let size = bytes(reader, place)?.value;
            if size < *at_least {
                return place.expected(reader, &format!("at least `{}`", show_bytes(*at_least)));
            }
            OptionValue::Size(size)
        }
        OptionKind::Factor { at_least } => OptionValue::Factor(read_factor(reader, place, *at_least)?),
        OptionKind::Choice(valid) => {
            let word = text(reader, place)?;
            if !valid.contains(&word.value.as_str()) {
                let message = format!("`{}` cannot be `{}`", place.name, word.value.escape_debug());
                reader.wrong_name(at, &message, &word.value, valid);
                return None;
            }
            OptionValue::Choice(word.value)
        }
    };
    Some(At { value, at })
}

fn read_factor(reader: &mut Reader<'_>, place: &Place<'_>, at_least: f64) -> Option<f64> {
    let factor = match place.node.value {
        Value::Whole(value) => value as f64,
        Value::Number(value) => value,
        _ => f64::NAN,
    };
    let fits = factor.is_finite() && factor >= at_least;
    if fits { Some(factor) } else { place.expected(reader, &format!("a number of at least {at_least}")) }
}
