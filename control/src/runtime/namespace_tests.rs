use super::*;
use crate::runtime::test_host::{on_a_host, output, snapshot};

#[test]
fn a_named_namespace_is_one_for_ip_netns_and_leaves_the_host_as_it_was() {
    on_a_host(|| {
        let before = snapshot();
        let here = Namespace::current().unwrap().identity();

        let namespace = Namespace::named("default:api:0").unwrap();
        assert_ne!(namespace.identity(), here);
        assert_eq!(output("ip", &["netns", "list"]).trim(), "default:api:0");
        let links = output("ip", &["netns", "exec", "default:api:0", "ls", "/sys/class/net"]);
        assert_eq!(links.trim(), "lo");
        let inside = namespace.enter(|| Namespace::current().unwrap().identity()).unwrap();
        assert_eq!(inside, namespace.identity());
        assert_eq!(Namespace::current().unwrap().identity(), here);

        Namespace::remove("default:api:0").unwrap();
        assert_eq!(snapshot(), before);
    });
}

#[test]
fn a_named_namespace_outlives_its_handle_and_ends_with_its_name() {
    on_a_host(|| {
        let identity = Namespace::named("a:b").unwrap().identity();
        assert_eq!(Namespace::open(&Namespace::path("a:b")).unwrap().identity(), identity);
        Namespace::remove("a:b").unwrap();
        assert!(matches!(Namespace::open(&Namespace::path("a:b")), Err(Error::Missing(_))));
        Namespace::remove("a:b").unwrap();
    });
}

#[test]
fn names_of_others_and_their_mount_stay() {
    on_a_host(|| {
        output("ip", &["netns", "add", "theirs"]);
        let before = snapshot();
        Namespace::named("a:ours").unwrap();
        assert!(matches!(Namespace::named("theirs"), Err(Error::Exists(_))));
        Namespace::remove("a:ours").unwrap();
        assert_eq!(snapshot(), before);
        assert_eq!(output("ip", &["netns", "exec", "theirs", "ls", "/sys/class/net"]).trim(), "lo");
    });
}

#[test]
fn a_directory_that_another_made_stays_when_it_is_empty() {
    on_a_host(|| {
        output("ip", &["netns", "add", "theirs"]);
        output("ip", &["netns", "del", "theirs"]);
        let before = snapshot();
        Namespace::named("a:ours").unwrap();
        Namespace::remove("a:ours").unwrap();
        assert_eq!(snapshot(), before);
    });
}

#[test]
fn a_name_that_a_crash_left_without_a_mount_is_removed() {
    on_a_host(|| {
        Namespace::named("a:b").unwrap();
        rustix::mount::unmount(Namespace::path("a:b"), UnmountFlags::DETACH).unwrap();
        assert!(matches!(
            Namespace::open(&Namespace::path("a:b")),
            Err(Error::NotANamespace(_) | Error::NotPermitted { .. })
        ));
        Namespace::remove("a:b").unwrap();
        assert!(!Namespace::path("a:b").exists());
    });
}

#[test]
fn a_mount_namespace_of_another_does_not_hold_a_removed_name() {
    on_a_host(|| {
        let namespace = Namespace::named("a:b").unwrap();
        let mut other = std::process::Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sleep", "60"])
            .spawn()
            .expect("this test needs unshare(1)");
        while fs::read_to_string(format!("/proc/{}/comm", other.id())).unwrap().trim() != "sleep" {
            thread::yield_now();
        }
        let mounts = format!("/proc/{}/mountinfo", other.id());
        assert!(fs::read_to_string(&mounts).unwrap().contains("/run/netns/a:b"));
        drop(namespace);
        Namespace::remove("a:b").unwrap();
        assert!(!fs::read_to_string(&mounts).unwrap().contains("/run/netns/a:b"));
        other.kill().unwrap();
        other.wait().unwrap();
    });
}

#[test]
fn what_is_no_network_namespace_is_refused() {
    let file = Path::new("/proc/self/ns/mnt");
    let namespace = Namespace::open(file).unwrap();
    assert!(namespace.enter(|| ()).is_err());
    assert!(matches!(Namespace::open(Path::new("/etc/passwd")), Err(Error::NotANamespace(_))));
}

#[test]
fn missing_rights_are_named() {
    let refused = thread::spawn(|| {
        rustix::thread::set_capabilities(
            None,
            rustix::thread::CapabilitySets {
                effective: rustix::thread::CapabilitySet::empty(),
                permitted: rustix::thread::CapabilitySet::empty(),
                inheritable: rustix::thread::CapabilitySet::empty(),
            },
        )
        .unwrap();
        Namespace::anonymous().unwrap_err()
    });
    assert_eq!(
        refused.join().unwrap().to_string(),
        "cannot make a network namespace: CAP_SYS_ADMIN is missing; run as root"
    );
}

#[test]
fn a_panic_inside_reaches_the_caller() {
    let namespace = Namespace::anonymous().unwrap();
    let caught = std::panic::catch_unwind(|| namespace.enter(|| panic!("as it should")));
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"as it should"));
}
