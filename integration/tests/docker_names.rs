//! Names in containers: the engine's resolver asks the VPC's, if it is told to, from within the container.

use integration::{Docker, Host, Sniffer, Up, topology, wait_until};

#[test]
fn the_engines_resolver_asks_that_of_the_vpc() {
    let host = Host::start();
    let sniffer = Sniffer::start(&host);
    let up = Up::start(&host, &topology("dns.yaml"), "docker-names", &["--docker"]);
    let docker = Docker::start(&host);
    docker.subnet("plain", "private-a");
    docker.network("dual", &["--subnet", "10.0.2.0/24"]);
    // The one address is of every VPC, the other of this one.
    for (name, server) in [("every", "169.254.169.253"), ("this", "10.0.0.2")] {
        docker.sleeper_in("plain", name, &["--dns", server]);
        let asked = docker.inside(name, "cat /etc/resolv.conf");
        assert!(asked.starts_with("nameserver 127.0.0.11"), "{asked}");
        let found = |host: &str, family: &str| {
            docker
                .inside(name, &format!("nslookup -type={family} {host} | sed -n 's/^Address: //p'"))
        };
        assert_eq!(found("web.corp.internal", "a"), "10.0.0.10", "a private zone");
        assert_eq!(found("checkip.amazonaws.com", "a"), "203.0.113.80", "the internet");
        assert_eq!(found("checkip.amazonaws.com", "aaaa"), "", "no DNS64 in this subnet");
        assert_ne!(found("every", "a"), "", "containers by name");
    }
    assert_eq!(docker.inside("this", "ping -c 1 -W 2 every >/dev/null; echo $?"), "0");

    // An interface with addresses of both families has them, of which the engine knows one.
    docker.sleeper_in("dual", "both", &["--ip", "10.0.2.10", "--dns", "169.254.169.253"]);
    let wanted = "10.0.2.10/24 2600:1f18:1234:5602::10/64";
    wait_until("it is settled", 5, || docker.addresses("both") == wanted);
    let seen = docker
        .inside("both", "nslookup -type=aaaa checkip.amazonaws.com | sed -n 's/^Address: //p'");
    assert_eq!(seen, "64:ff9b::cb00:7150", "DNS64");
    let get = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 64:ff9b::cb00:7150 80 | tail -n 1";
    assert_eq!(docker.inside("both", get), "198.51.100.10", "and where it leads");

    // Without being told, it asks the host's servers, where the VPC leads to: nowhere. It does not ask from the host.
    docker.sleeper_in("plain", "untold", &["--dns", "192.0.2.53"]);
    let asked = docker.inside("untold", "nslookup web.corp.internal >/dev/null 2>&1; echo $?");
    assert_eq!(asked, "1");
    assert!(up.dropped("NO_PATH") > 0);
    assert_eq!(sniffer.seen(), [""; 0], "no packet of a container but at its device");
}
