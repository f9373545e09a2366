//! Do the manual page and the completions tell every command and option that there is?

use std::process::{Command, Output};

fn hypertun(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hypertun"));
    command.args(arguments).output().expect("it starts")
}

fn printed(arguments: &[&str]) -> String {
    let output = hypertun(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("it is text")
}

/// The commands that a help lists.
fn commands(help: &str) -> Vec<String> {
    let list = help.split("Commands:\n").nth(1).unwrap_or_default();
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// The long options that a help lists.
fn options(help: &str) -> Vec<&str> {
    let words = help.lines().filter(|line| line.trim_start().starts_with('-'));
    words.filter_map(|line| line.split_whitespace().find(|word| word.starts_with("--"))).collect()
}

/// Every command with its help.
fn helps() -> Vec<(String, String)> {
    let mut helps = Vec::new();
    for name in commands(&printed(&["--help"])) {
        let help = printed(&[&name, "--help"]);
        for below in commands(&help) {
            helps.push((format!("{name} {below}"), printed(&[&name, &below, "--help"])));
        }
        helps.push((name, help));
    }
    assert!(helps.len() >= 14, "{helps:?}");
    helps
}

#[test]
fn the_manual_has_a_chapter_for_each_command_with_its_options() {
    let page = printed(&["man"]);
    assert!(page.contains("\n.TH hypertun 1 "), "{page}");
    for (command, help) in helps() {
        let title = format!("\n.SH \"HYPERTUN {}\"\n", command.to_uppercase());
        let (_, chapter) = page.split_once(&title).unwrap_or_else(|| panic!("no chapter {title}"));
        let chapter = chapter.split("\n.SH ").next().unwrap_or_default().replace("\\-", "-");
        for option in options(&help) {
            let everywhere = matches!(option, "--help" | "--version");
            let told = chapter.contains(&format!("\\fB{option}\\fR"));
            assert!(told != everywhere, "{command} {option}: {chapter}");
        }
        assert!(chapter.contains("\n.SS SYNOPSIS\n"), "{command}: {chapter}");
    }
}

#[test]
fn completions_know_each_command_and_option() {
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&["completions", shell]);
        for (command, help) in helps() {
            let last = command.split(' ').next_back().unwrap_or_default();
            assert!(script.contains(last), "{shell}: {command}");
            for option in options(&help) {
                let word = if shell == "fish" { &option[2..] } else { option };
                assert!(script.contains(word), "{shell}: {command} {option}");
            }
        }
    }
    let refused = hypertun(&["completions", "command.com"]);
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn bash_reads_its_completions() {
    let script = printed(&["completions", "bash"]);
    let check = format!("{script}\ncomplete -p hypertun");
    let output = Command::new("bash").args(["--norc", "-c", &check]).output().expect("bash starts");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn the_schema_is_a_document() {
    let schema: serde_json::Value =
        serde_json::from_str(&printed(&["schema"])).expect("the schema is JSON");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
}
