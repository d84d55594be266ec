//! A soak of 21 minutes, in which all lives and leases, the traffic and the disturbances are divided by twenty: each
//! counter outlives the life of its keys several times.

use std::process::Command;

#[test]
fn every_number_that_is_shown_is_true() {
    let mut soak = Command::new(env!("CARGO_BIN_EXE_headcount-load"));
    soak.args(["soak", "--minutes", "21", "--scale", "20", "--seed", "1"]);
    let output = soak.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    print!("{told}");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("reached  every number shown was true within the last second"), "{told}");
}
