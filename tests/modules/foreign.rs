//! A module of the project, run by the agent as the module protocol wants it.

use serde_json::json;

use super::{Case, prove};

const SCRIPT: &str = "#!/bin/sh\n. \"$1\"\necho \"{\\\"greeting\\\": \\\"hello $name\\\"}\"\n";

#[test]
fn a_script_gets_its_parameters() {
    prove(&[Case {
        name: "words",
        module: "foreign",
        params: json!({"name": "greet", "style": "words", "interpreter": "/bin/sh", "arguments": {"name": "you and me"}}),
        blobs: vec![("module", SCRIPT)],
        // In check mode it is left alone, so its result is not expected there.
        result: json!({}),
        ..Case::default()
    }]);
}
