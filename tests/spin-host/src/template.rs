/// Text with expressions: `https://{{ host }}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(String),
}

impl Template {
    /// Parses a template; the error says what is wrong with it.
    pub(crate) fn parse(template: &str) -> Result<Self, String> {
        let (mut parts, mut rest) = (Vec::new(), template);
        while let Some((text, expression)) = rest.split_once("{{") {
            let (name, after) =
                expression.split_once("}}").ok_or_else(|| format!("{template:?} has `{{{{` without `}}}}`"))?;
            if !text.is_empty() {
                parts.push(Part::Text(text.to_owned()));
            }
            parts.push(Part::Variable(name.trim().to_owned()));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }

    /// Fills in the variables; the error names the first one that `value` does not know.
    pub(crate) fn resolve<'a>(&'a self, value: impl Fn(&str) -> Option<&'a str>) -> Result<String, String> {
        let part = |part: &'a Part| match part {
            Part::Text(text) => Ok(text.as_str()),
            Part::Variable(name) => value(name).ok_or_else(|| name.clone()),
        };
        self.0.iter().map(part).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(template: &str) -> Result<String, String> {
        let value = |name: &str| match name {
            "host" => Some("example.com"),
            "none" => Some(""),
            _ => None,
        };
        Template::parse(template)?.resolve(value)
    }

    #[test]
    fn fills_in_variables_with_or_without_spaces() {
        for (template, text) in [
            ("", ""),
            ("plain", "plain"),
            ("https://{{ host }}", "https://example.com"),
            ("{{host}}{{ host }}", "example.comexample.com"),
            ("{{ none }}", ""),
            ("a } b }} c { d", "a } b }} c { d"),
        ] {
            assert_eq!(resolved(template).as_deref(), Ok(text), "{template}");
        }
    }

    #[test]
    fn names_an_unknown_variable_and_an_unclosed_expression() {
        assert_eq!(resolved("{{ other }}"), Err("other".into()));
        assert_eq!(resolved("a {{ host"), Err(r#""a {{ host" has `{{` without `}}`"#.into()));
    }
}
