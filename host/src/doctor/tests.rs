use super::rust::{assess_cargo, assess_target};
use super::*;
use crate::device::firmware::Toolchain;

/// A folder of this test's own, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let folder = format!("mote-doctor-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn every_check_that_fails_says_what_to_do() {
    for check in examine() {
        assert_eq!(check.ok, check.fix.is_none(), "{check:?}");
        assert!(!check.ok || check.found.is_some(), "{check:?}");
    }
}

#[test]
fn json_has_stable_keys() {
    let json = serde_json::to_value(Check::good("cargo", "1.89", "1.95")).unwrap();
    let keys: Vec<&str> = json
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    for key in ["name", "ok", "optional", "found", "wanted", "fix"] {
        assert!(keys.contains(&key), "{keys:?}");
    }
    assert_eq!(keys.len(), 6);
}

#[test]
fn an_old_cargo_is_told_from_a_new_one() {
    let version = |text: &str| assess_cargo(Some(format!("cargo {text} (abcdef 2026-01-01)")));
    assert!(version("1.95.0").ok);
    assert!(version("1.100.0").ok);
    assert!(version("2.0.0").ok);
    assert!(!version("1.9.0").ok);
    assert!(!version("1.88.0").ok);
    assert!(!assess_cargo(Some("cargo".to_owned())).ok);
    assert!(!assess_cargo(None).ok);
}

#[test]
fn a_target_without_a_compiler_says_for_which_boards_one_is_wanted() {
    let check = |toolchain| assess_target("thumbv7em-none-eabihf", toolchain);
    for toolchain in [Toolchain::Rustup, Toolchain::Debian] {
        assert_eq!(
            check(Some(toolchain)).found.as_deref(),
            Some(toolchain.name())
        );
    }
    let missing = check(None);
    assert!(!missing.ok);
    for board in ["an386", "an500", "nucleo-f446re"] {
        assert!(missing.wanted.contains(board), "{}", missing.wanted);
    }
    assert!(
        missing
            .fix
            .unwrap()
            .contains("rustup target add thumbv7em-none-eabihf")
    );
}

#[test]
fn a_qemu_without_a_machine_is_named() {
    let version = || Some("QEMU emulator version 4.2.1".to_owned());
    let list = "Supported machines are:\nmicrobit  BBC micro:bit\nmps2-an385  M3\nmps2-an500  M7\nmps3-an547  M55\n";
    let check = qemu(version(), || Some(list.to_owned()));
    assert!(!check.ok);
    assert!(check.found.unwrap().ends_with("without mps2-an386"));
    let whole = format!("{list}mps2-an386  M4\n");
    assert!(qemu(version(), || Some(whole)).ok);
    assert!(!qemu(None, || None).ok);
}

#[test]
fn libtorch_of_another_version_is_refused() {
    let scratch = Scratch::new("libtorch");
    assert!(!libtorch(&scratch.0).ok);
    std::fs::create_dir_all(scratch.0.join("lib")).unwrap();
    std::fs::write(scratch.0.join("lib/libtorch_cpu.so"), "").unwrap();
    std::fs::write(scratch.0.join("lib/libtorch_cpu.dylib"), "").unwrap();
    // The user's own: no version file.
    assert!(libtorch(&scratch.0).ok);
    std::fs::write(scratch.0.join("build-version"), "2.13.0+cpu\n").unwrap();
    assert!(libtorch(&scratch.0).ok);
    std::fs::write(scratch.0.join("build-version"), "2.1.0+cpu\n").unwrap();
    let check = libtorch(&scratch.0);
    assert!(!check.ok);
    assert!(check.found.unwrap().starts_with("2.1.0+cpu"));
}

#[test]
fn mnist_with_a_wrong_file_is_refused() {
    let scratch = Scratch::new("mnist");
    assert_eq!(mnist(Some(&scratch.0)).found, None);
    std::fs::write(scratch.0.join("train-labels-idx1-ubyte"), "no labels").unwrap();
    let check = mnist(Some(&scratch.0));
    assert!(!check.ok);
    assert!(
        check
            .found
            .unwrap()
            .ends_with("3 missing, 1 with other content")
    );
}
