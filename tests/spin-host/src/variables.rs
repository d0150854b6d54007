use std::collections::BTreeMap;

use crate::manifest::Variable;
use crate::template::Template;

/// What whoever starts the application adds to the manifest.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// Values of the application's variables. One that is not declared is a fault.
    pub variables: BTreeMap<String, String>,
    /// The same from the process environment, by lower-case name. Whatever is not declared is none of ours.
    pub ambient: BTreeMap<String, String>,
    /// Environment variables of every component, over those of the manifest.
    pub environment: BTreeMap<String, String>,
}

impl Given {
    /// Takes the application's variables from a process environment, `SPIN_VARIABLE_<NAME>`.
    pub fn from_environment(environment: impl IntoIterator<Item = (String, String)>) -> Self {
        let variable = |(name, value): (String, String)| {
            let name = name.strip_prefix("SPIN_VARIABLE_")?.to_ascii_lowercase();
            Some((name, value))
        };
        Self { ambient: environment.into_iter().filter_map(variable).collect(), ..Self::default() }
    }

    /// What is given for the variable `name`.
    fn value(&self, name: &str) -> Option<&String> {
        self.variables.get(name).or_else(|| self.ambient.get(name))
    }
}

/// The values of the application's variables; a variable without one has the empty value, and its fault is noted.
pub(crate) fn application(
    declared: &BTreeMap<String, Variable>,
    given: &Given,
    faults: &mut Vec<String>,
) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for (key, variable) in declared {
        let value = given.value(key).or(variable.default.as_ref()).cloned().unwrap_or_default();
        if let Err(reason) = check(key, variable, given) {
            faults.push(format!("the variable {key}: {reason}"));
        }
        values.insert(key.clone(), value);
    }
    let unknown = given.variables.keys().filter(|key| !declared.contains_key(*key));
    faults.extend(unknown.map(|key| format!("the variable {key} is given and not declared")));
    values
}

fn check(key: &str, variable: &Variable, given: &Given) -> Result<(), String> {
    name(key)?;
    match (&variable.default, variable.required) {
        (Some(_), true) => Err("it is required and has a default".to_owned()),
        (None, false) => Err("it has neither a default nor `required = true`".to_owned()),
        (None, true) if given.value(key).is_none() => {
            let variable = key.to_ascii_uppercase();
            Err(format!("it is required: give it by SPIN_VARIABLE_{variable} or --variable {key}=…"))
        }
        _ => Ok(()),
    }
}

/// Fills the application's variables into a template of a component.
pub(crate) fn resolve(template: &str, application: &BTreeMap<String, String>) -> Result<String, String> {
    let template = Template::parse(template)?;
    template
        .resolve(|name| application.get(name).map(String::as_str))
        .map_err(|name| format!("it names the variable {name:?}, which is not declared"))
}

/// Whether `name` can be a variable's.
pub(crate) fn name(name: &str) -> Result<(), String> {
    let characters = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    let ends = name.starts_with(|first: char| first.is_ascii_lowercase()) && !name.ends_with('_');
    if characters && ends && !name.contains("__") {
        Ok(())
    } else {
        Err("a name has lower-case letters, digits and single underscores between them".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_values_from_the_environment() {
        let environment = [("SPIN_VARIABLE_SUPABASE_URL", "http://a"), ("HOME", "/root"), ("SPIN_VARIABLE_A1", "")];
        let given = Given::from_environment(environment.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let names: Vec<_> = given.ambient.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(names, [("a1", ""), ("supabase_url", "http://a")]);
    }

    #[test]
    fn knows_which_names_spin_allows() {
        for good in ["a", "abc", "a1b2", "a_1", "a_1_b"] {
            assert_eq!(name(good), Ok(()), "{good}");
        }
        for bad in ["", "aX", "1bc", "_x", "x.y", "x_", "a__b", "x-y"] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }
}
