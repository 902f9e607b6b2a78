//! The API's name formats (apimachinery `util/validation`, `api/validate/content`): each function
//! returns what is wrong with a value, in the API server's words, and nothing if it is well-formed.
//!
//! Owns formats only. Must not know which field has which format.

const LABEL_FMT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN_FMT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const KEY_FMT: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";

fn max_length(length: usize) -> String {
    format!("must be no more than {length} characters")
}

fn regex_error(message: &str, format: &str, examples: &[&str]) -> String {
    let examples: Vec<String> = examples.iter().map(|e| format!("'{e}', ")).collect();
    let examples = examples.join("or ");
    format!("{message} (e.g. {examples}regex used for validation is '{format}')")
}

fn lower_alphanumeric(c: u8) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

fn is_label_shaped(value: &str) -> bool {
    let bytes = value.as_bytes();
    bytes.first().is_some_and(|&c| lower_alphanumeric(c))
        && bytes.last().is_some_and(|&c| lower_alphanumeric(c))
        && bytes.iter().all(|&c| lower_alphanumeric(c) || c == b'-')
}

fn is_subdomain_shaped(value: &str) -> bool {
    value.split('.').all(is_label_shaped)
}

/// RFC 1123 label: Service names, port names, namespaces.
#[must_use]
pub fn dns1123_label(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > 63 {
        errors.push(max_length(63));
    }
    if !is_label_shaped(value) {
        errors.push(if is_subdomain_shaped(value) {
            "must not contain dots".to_owned()
        } else {
            regex_error(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters \
                 or '-', and must start and end with an alphanumeric character",
                LABEL_FMT,
                &["my-name", "123-abc"],
            )
        });
    }
    errors
}

/// RFC 1123 subdomain: names of most objects, host names.
#[must_use]
pub fn dns1123_subdomain(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > 253 {
        errors.push(max_length(253));
    }
    if !is_subdomain_shaped(value) {
        errors.push(regex_error(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
             '-' or '.', and must start and end with an alphanumeric character",
            SUBDOMAIN_FMT,
            &["example.com"],
        ));
    }
    errors
}

/// A domain name of at least two labels, a trailing dot allowed: addresses of FQDN slices.
#[must_use]
pub fn fully_qualified_domain_name(value: &str) -> Vec<String> {
    let name = value.strip_suffix('.').unwrap_or(value);
    let errors = dns1123_subdomain(name);
    if !errors.is_empty() {
        return vec![errors.join(",")];
    }
    if !name.contains('.') {
        let least = "should be a domain with at least two segments separated by dots";
        return vec![least.to_owned()];
    }
    match name.split('.').find(|label| label.len() > 63) {
        Some(_) => vec![max_length(63)],
        None => Vec::new(),
    }
}

fn is_key_shaped(value: &str) -> bool {
    let bytes = value.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes
            .iter()
            .all(|&c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
}

/// Qualified name: label and annotation keys, `appProtocol`, `loadBalancerClass`.
#[must_use]
pub fn qualified_name(value: &str) -> Vec<String> {
    const MESSAGE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must \
                           start and end with an alphanumeric character";
    const EXAMPLES: [&str; 3] = ["MyName", "my.name", "123-abc"];
    let mut errors = Vec::new();
    let name = match value.split_once('/') {
        None => value,
        Some((_, name)) if name.contains('/') => {
            errors.push(format!(
                "a valid label key {} with an optional DNS subdomain prefix and '/' (e.g. \
                 'example.com/MyName')",
                regex_error(MESSAGE, KEY_FMT, &EXAMPLES)
            ));
            return errors;
        }
        Some(("", name)) => {
            errors.push("prefix part must be non-empty".to_owned());
            name
        }
        Some((prefix, name)) => {
            let prefix_errors = dns1123_subdomain(prefix);
            errors.extend(
                prefix_errors
                    .into_iter()
                    .map(|e| format!("prefix part {e}")),
            );
            name
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        errors.push(format!("name part {}", max_length(63)));
    }
    if !is_key_shaped(name) {
        errors.push(format!(
            "name part {}",
            regex_error(MESSAGE, KEY_FMT, &EXAMPLES)
        ));
    }
    errors
}

/// Label value: values of labels and selectors, zones.
#[must_use]
pub fn label_value(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > 63 {
        errors.push(max_length(63));
    }
    if !value.is_empty() && !is_key_shaped(value) {
        errors.push(regex_error(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', \
             '_' or '.', and must start and end with an alphanumeric character",
            &format!("({KEY_FMT})?"),
            &["MyValue", "my_value", "12345"],
        ));
    }
    errors
}

/// IANA service name (RFC 6335): a named `targetPort`, names of container ports.
#[must_use]
pub fn port_name(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let mut check = |wrong: bool, message: &str| {
        if wrong {
            errors.push(message.to_owned());
        }
    };
    let bytes = value.as_bytes();
    check(value.len() > 15, &max_length(15));
    check(
        bytes.is_empty() || !bytes.iter().all(|&c| lower_alphanumeric(c) || c == b'-'),
        "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
    );
    check(
        !bytes.iter().any(u8::is_ascii_lowercase),
        "must contain at least one letter (a-z)",
    );
    check(value.contains("--"), "must not contain consecutive hyphens");
    check(
        value.starts_with('-') || value.ends_with('-'),
        "must not begin or end with a hyphen",
    );
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_formed_names_pass() {
        for name in ["a", "web", "my-svc", "123-abc", &"a".repeat(63)] {
            assert!(dns1123_label(name).is_empty(), "{name}");
        }
        for name in ["example.com", "a.b-c.d", "x"] {
            assert!(dns1123_subdomain(name).is_empty(), "{name}");
        }
        for name in ["app", "example.com/App_1", "kubernetes.io/h2c"] {
            assert!(qualified_name(name).is_empty(), "{name}");
        }
        for value in ["", "v1.2_x", "12345"] {
            assert!(label_value(value).is_empty(), "{value}");
        }
        assert!(port_name("http-web").is_empty());
        assert!(fully_qualified_domain_name("db.example.com.").is_empty());
    }

    #[test]
    fn a_bad_name_says_what_the_api_server_says() {
        assert_eq!(
            dns1123_label("My_Svc"),
            [
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or \
              '-', and must start and end with an alphanumeric character (e.g. 'my-name', or \
              '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            ]
        );
        assert_eq!(dns1123_label("my.svc"), ["must not contain dots"]);
        assert_eq!(
            port_name("8080"),
            ["must contain at least one letter (a-z)"]
        );
        assert_eq!(qualified_name("/x"), ["prefix part must be non-empty"]);
    }
}
