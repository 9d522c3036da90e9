//! The variables that pods are given are settings that the programs have.

use std::collections::HashSet;
use std::process::Command;

use crate::objects::{Objects, container};

#[test]
fn every_variable_is_a_setting() {
    let overlays = ["local", "production"].map(|it| format!("overlays/{it}"));
    let rendered = overlays.iter().filter_map(|it| Objects::rendered(it));
    for objects in [Objects::written("base")].into_iter().chain(rendered) {
        for (name, pod) in objects.pods() {
            let help = match &*name {
                "splitdim" => help(env!("CARGO_BIN_EXE_splitdim")),
                "kvstore" => help(env!("CARGO_BIN_EXE_kvstore")),
                other => panic!("nothing is known of {other}"),
            };
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let words: HashSet<_> = help.split(|c| !is_part(c)).collect();
            for variable in container(&pod).env.iter().flatten() {
                assert!(
                    words.contains(&*variable.name),
                    "{name} has no {}",
                    variable.name
                );
            }
        }
    }
}

/// Names every setting.
fn help(program: &str) -> String {
    let output = Command::new(program).arg("--help").output();
    let output = output.expect("the program starts");
    String::from_utf8(output.stdout).expect("help is text")
}
