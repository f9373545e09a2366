use super::*;
use crate::runtime::test_host::{on_a_host, output, process, snapshot};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// An instance whose process was killed: all is left, the lock is free.
fn killed(instance: Instance) {
    let free = instance.lock.try_clone().unwrap();
    std::mem::forget(instance);
    rustix::fs::flock(free, FlockOperation::Unlock).unwrap();
}

#[test]
fn names_are_refused_that_are_none() {
    for bad in ["", "a b", "a/b", "a:b", "é", &"x".repeat(65)] {
        assert!(matches!(bad.parse::<Name>(), Err(Error::BadName(_))), "{bad}");
    }
    for good in ["default", "A.b_c-9", "..", &"x".repeat(64)] {
        assert_eq!(name(good).as_str(), good);
    }
}

#[test]
fn members_have_their_places() {
    let paths = Paths::of(&name("default"));
    assert_eq!(paths.socket(), Path::new("/run/hypertun/default.sock"));
    assert_eq!(paths.namespace("api/0"), "default:api:0");
    assert_eq!(paths.namespace_path("api/0"), Path::new("/run/netns/default:api:0"));
    let hostile = Paths::of(&name(".."));
    assert_eq!(hostile.files(), Path::new("/run/hypertun/...d"));
    assert_eq!(hostile.resolv_conf("../x").parent(), Some(&*hostile.files()));
}

#[test]
fn a_name_is_held_once_and_free_again_after() {
    on_a_host(|| {
        let first = Instance::start(&name("default")).unwrap();
        let clash = Instance::start(&name("default")).unwrap_err().to_string();
        let pid = std::process::id();
        assert!(
            clash.starts_with(&format!("instance default is already running (pid {pid})")),
            "{clash}"
        );
        let _other = Instance::start(&name("other")).unwrap();
        drop(first);
        Instance::start(&name("default")).unwrap();
    });
}

#[test]
fn an_end_leaves_the_host_as_it_was() {
    on_a_host(|| {
        drop(Instance::start(&name("earlier")).unwrap()); // The directory stays.
        let before = snapshot();
        let instance = Instance::start(&name("default")).unwrap();
        Namespace::named(&instance.paths().namespace("api/0")).unwrap();
        Namespace::named(&instance.paths().namespace("partner.example")).unwrap();
        File::create(instance.paths().socket()).unwrap();
        let path = instance.write_resolv_conf("api/0", "nameserver 10.0.0.2\n").unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), "nameserver 10.0.0.2\n");
        drop(instance);
        assert_eq!(snapshot(), before);
        assert_eq!(fs::read_dir("/run/hypertun").unwrap().count(), 0);
    });
}

#[test]
fn a_dead_instance_is_swept_by_any_other_and_a_live_one_is_not() {
    on_a_host(|| {
        output("ip", &["netns", "add", "dead"]);
        output("ip", &["netns", "add", "nobody:x"]);
        let live = Instance::start(&name("live")).unwrap();
        Namespace::named(&live.paths().namespace("a")).unwrap();
        let dead = Instance::start(&name("dead")).unwrap();
        Namespace::named(&dead.paths().namespace("a")).unwrap();
        Namespace::named(&dead.paths().namespace("a/0")).unwrap();
        File::create(dead.paths().socket()).unwrap();
        dead.write_resolv_conf("a", "").unwrap();
        killed(dead);

        drop(Instance::start(&name("third")).unwrap());
        let mut netns: Vec<_> =
            output("ip", &["netns", "list"]).lines().map(str::to_owned).collect();
        netns.sort();
        assert_eq!(netns, ["dead", "live:a", "nobody:x"]);
        let mut files: Vec<_> = fs::read_dir("/run/hypertun")
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        assert_eq!(files, ["live.lock"]);
    });
}

#[test]
fn after_sigkill_the_start_and_end_of_another_leave_the_host_as_it_was() {
    on_a_host(|| {
        drop(Instance::start(&name("earlier")).unwrap());
        let before = snapshot();
        let mut victim =
            process("runtime::instance::tests::holds_a_name_until_killed").spawn().unwrap();
        let ready = Path::new("/run/hypertun/victim.sock");
        while !ready.exists() {
            assert_eq!(victim.try_wait().unwrap(), None);
            std::thread::yield_now();
        }
        let clash = Instance::start(&name("victim")).unwrap_err().to_string();
        assert!(clash.contains(&format!("(pid {})", victim.id())), "{clash}");
        victim.kill().unwrap();
        victim.wait().unwrap();
        assert!(output("ip", &["netns", "list"]).contains("victim:app"));

        drop(Instance::start(&name("another")).unwrap());
        assert_eq!(snapshot(), before);
        assert_eq!(fs::read_dir("/run/hypertun").unwrap().count(), 0);
    });
}

#[test]
#[ignore = "waits to be killed: started by after_sigkill_..."]
fn holds_a_name_until_killed() {
    let instance = Instance::start(&name("victim")).unwrap();
    Namespace::named(&instance.paths().namespace("app")).unwrap();
    instance.write_resolv_conf("app", "").unwrap();
    File::create(instance.paths().socket()).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(60));
}

#[test]
fn a_start_makes_its_own_namespaces_anew() {
    on_a_host(|| {
        let dead = Instance::start(&name("default")).unwrap();
        let old = Namespace::named("default:a").unwrap();
        killed(dead);
        let _instance = Instance::start(&name("default")).unwrap();
        let new = Namespace::named("default:a").unwrap();
        assert_ne!(old.identity(), new.identity());
    });
}

#[test]
fn of_many_that_start_at_once_one_has_the_name() {
    on_a_host(|| {
        for _ in 0..20 {
            let started: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> =
                    (0..4).map(|_| scope.spawn(|| Instance::start(&name("default")))).collect();
                threads.into_iter().map(|t| t.join().unwrap()).collect()
            });
            assert_eq!(started.iter().filter(|s| s.is_ok()).count(), 1);
        }
    });
}
