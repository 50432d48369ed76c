//! Finds the ids of requirements in a source file, and whether a test carries them.

/// An id in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mention {
    pub(crate) id: String,
    pub(crate) line: usize,
    pub(crate) place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Above or within a test, or in the name of one.
    Test,
    /// In any other comment or in documentation.
    Prose,
}

/// The ids in comments of Rust code, and the `known` ones in the names of tests.
///
/// In a file below `tests/` every comment belongs to the tests, except the `//!` at its head. In
/// `src/` only a comment right above a `#[test]` does, and every comment after `#[cfg(test)] mod`,
/// which is the last item of a file.
pub(crate) fn in_rust(source: &str, is_test_file: bool, known: &[&str]) -> Vec<Mention> {
    let mut found = Vec::new();
    let mut in_tests = is_test_file;
    // Mentions and attributes before the next item.
    let mut above = Vec::new();
    let (mut test_attribute, mut cfg_test) = (false, false);
    for (line, text) in (1..).zip(source.lines()) {
        let code = text.trim_start();
        let comment = code.find("//").map(|at| code.split_at(at));
        if let Some((before, comment)) = comment {
            let place =
                if in_tests && !comment.starts_with("//!") { Place::Test } else { Place::Prose };
            let mentions = ids(comment).map(|id| Mention { id: id.to_owned(), line, place });
            if before.trim().is_empty() {
                above.extend(mentions);
                continue;
            }
            found.extend(mentions);
        }
        if code.starts_with("#[") {
            test_attribute |= is_test_attribute(code);
            cfg_test |= code.starts_with("#[cfg(test)]");
            // An attribute on the same line as its item ends the comments above; one on several
            // lines does not.
            if !code.contains("fn ") && !code.contains("mod ") {
                continue;
            }
        }
        if cfg_test && code.split_whitespace().any(|word| word == "mod") && code.ends_with('{') {
            in_tests = true;
        }
        if test_attribute && let Some(name) = function_name(code) {
            for mention in &mut above {
                mention.place = Place::Test;
            }
            let named = known.iter().filter(|id| is_in_name(id, name));
            found.extend(named.map(|id| Mention {
                id: (*id).to_owned(),
                line,
                place: Place::Test,
            }));
        }
        found.append(&mut above);
        (test_attribute, cfg_test) = (false, false);
    }
    found.append(&mut above);
    found
}

/// The ids anywhere in a text.
pub(crate) fn in_text(text: &str, place: Place) -> Vec<Mention> {
    let lines = (1..).zip(text.lines());
    lines
        .flat_map(|(line, text)| {
            ids(text).map(move |id| Mention { id: id.to_owned(), line, place })
        })
        .collect()
}

/// The words of `text` with the form of an id: `R6455-5.2-a`, `R6455C-4.1-b`, `RT-13`, `T-B4`,
/// `D-1`, `MDN-9`.
fn ids(text: &str) -> impl Iterator<Item = &str> {
    let within = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    text.split(move |c| !within(c))
        .map(|word| word.trim_matches(['.', '-', '_']))
        .filter(|word| is_id(word))
}

pub(crate) fn is_id(word: &str) -> bool {
    let Some((source, rest)) = word.split_once('-') else {
        return false;
    };
    let number = match source {
        "RT" | "D" | "MDN" => Some(rest),
        "T" => rest.strip_prefix('B'),
        _ => None,
    };
    if let Some(number) = number {
        return number.starts_with(|c: char| c.is_ascii_digit());
    }
    let number = source.strip_prefix('R').map(|number| number.strip_suffix('C').unwrap_or(number));
    number.is_some_and(|it| it.len() == 4 && it.bytes().all(|b| b.is_ascii_digit()))
        && rest.contains('-')
}

/// `rt_13_declared_length_allocates_nothing` carries RT-13.
fn is_in_name(id: &str, name: &str) -> bool {
    let id: String = id
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .collect();
    format!("_{name}_").contains(&format!("_{id}_"))
}

fn is_test_attribute(code: &str) -> bool {
    let Some(attribute) = code.strip_prefix("#[") else {
        return false;
    };
    let path = attribute.split([']', '(']).next().unwrap_or_default();
    path.split("::").last().is_some_and(|last| last.trim() == "test")
}

fn function_name(code: &str) -> Option<&str> {
    let mut words = code.split_whitespace().skip_while(|word| *word != "fn");
    words.next()?;
    words.next()?.split(['(', '<']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tested(source: &str, is_test_file: bool) -> Vec<String> {
        let mentions = in_rust(source, is_test_file, &["RT-1", "RT-11", "RT-13", "R6455-5.2-a"]);
        let tests = mentions.into_iter().filter(|mention| mention.place == Place::Test);
        tests.map(|mention| mention.id).collect()
    }

    fn words(text: &str) -> Vec<&str> {
        ids(text).collect()
    }

    #[test]
    fn id_is_a_whole_word() {
        assert_eq!(words("// R6455-5.2-ab, RT-11."), ["R6455-5.2-ab", "RT-11"]);
        assert_eq!(
            words("// (R6455C-4.1-b) `RT-01`; R6455-x-early: R9110-7.8-f"),
            ["R6455C-4.1-b", "RT-01", "R6455-x-early", "R9110-7.8-f"]
        );
        assert_eq!(words("// RT-38, T-B15: T-B, T-15, T-Bone"), ["RT-38", "T-B15"]);
        assert_eq!(words("// RFC 6455 §5.2: MIRT-5, R2-D2, RT-x, R6455-5, XR6455-5.2-a"), [""; 0]);
    }

    #[test]
    fn range_of_ids_is_no_id_that_exists() {
        assert_eq!(words("// R6455-5.4-a..d"), ["R6455-5.4-a..d"]);
    }

    #[test]
    fn comment_above_a_test_counts_attributes_between_or_not() {
        let source = "// R6455-5.2-a, RT-13\n// and why\n#[test]\n#[should_panic(expected = \"x\")]\nfn masks() {}\n";
        assert_eq!(tested(source, false), ["R6455-5.2-a", "RT-13"]);
        assert_eq!(
            tested("/// RT-13\n#[tokio::test(start_paused = true)]\nasync fn a() {}\n", false),
            ["RT-13"]
        );
        assert_eq!(tested("// RT-13\n#[test] fn a() {}\n", false), ["RT-13"]);
    }

    #[test]
    fn comment_above_other_code_of_a_source_file_does_not_count() {
        assert_eq!(
            tested("// R6455-5.2-a\nfn mask() {}\n\n#[test]\nfn masks() {}\n", false),
            [""; 0]
        );
        assert_eq!(tested("// R6455-5.2-a\n\n#[test]\nfn masks() {}\n", false), [""; 0]);
    }

    #[test]
    fn comments_of_a_test_file_and_a_test_module_count() {
        let table = "const TABLE: &[u8] = &[\n    1, // R6455-5.2-a\n    // RT-13\n    2,\n];\n";
        assert_eq!(tested(table, true), ["R6455-5.2-a", "RT-13"]);
        assert_eq!(tested(table, false), [""; 0]);
        assert_eq!(
            tested(&format!("#[cfg(test)]\nmod tests {{\n{table}}}\n"), false),
            ["R6455-5.2-a", "RT-13"]
        );
        assert_eq!(tested(&format!("#[cfg(test)]\nmod tests;\n{table}"), false), [""; 0]);
    }

    #[test]
    fn head_of_a_test_file_does_not_count() {
        assert_eq!(tested("//! R6455-5.2-a\n", true), [""; 0]);
    }

    #[test]
    fn name_of_a_test_counts() {
        assert_eq!(tested("#[test]\nfn rt_13_reserves_nothing() {}\n", true), ["RT-13"]);
        assert_eq!(tested("#[test]\nfn r6455_5_2_a() {}\n", true), ["R6455-5.2-a"]);
        assert_eq!(tested("#[test]\nfn start_13() {}\n", true), [""; 0]);
        assert_eq!(tested("fn rt_13_helper() {}\n", true), [""; 0]);
    }

    #[test]
    fn name_is_matched_by_whole_numbers() {
        assert_eq!(tested("#[test]\nfn rt_11_old_versions() {}\n", true), ["RT-11"]);
        assert_eq!(tested("#[test]\nfn rt_1_old_versions() {}\n", true), ["RT-1"]);
    }
}
