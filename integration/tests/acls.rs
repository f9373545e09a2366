//! Network ACLs as real clients meet them: nobody is told, and what they deny looks like a timeout (AWS "Network ACL
//! basics", "Custom network ACLs").

use integration::{Conversation, File, Host, Output, Up, output, wait_until};

const ACL: &str = "SUBNET_ACL_RESTRICTION";

/// A topology with an ACL of its own for one of the subnets of `nat-gateway.yaml`.
struct Acl {
    file: File,
    subnet: &'static str,
}

impl Acl {
    fn of(subnet: &'static str, name: &str) -> Self {
        Self { file: File::copy("nat-gateway.yaml", name), subnet }
    }

    /// Writes its rules; a side without rules allows all.
    fn write(&self, ingress: &str, egress: &str, others: &[(&str, &str)]) {
        let side = |rules: &str, peer| match rules {
            "" => format!("{{rule: 100, action: allow, protocol: all, {peer}: 0.0.0.0/0}}"),
            rules => rules.to_owned(),
        };
        let (ingress, egress) = (side(ingress, "source"), side(egress, "destination"));
        let list = format!(
            "\nnetwork_acls: {{own: {{vpc: main, ingress: [{ingress}], egress: [{egress}]}}}}\ninternet:"
        );
        let table = format!("    route_table: {}\n", self.subnet);
        let with_acl = format!("{table}    network_acl: own\n");
        let changes = [("\ninternet:", list.as_str()), (table.as_str(), with_acl.as_str())];
        self.file.write(&[&changes, others].concat());
    }

    fn up<'h>(&self, host: &'h Host) -> Up<'h> {
        Up::start(host, self.file.path(), "acls", &[])
    }

    fn apply(&self, up: &Up<'_>) {
        assert_eq!(self.file.apply(up).success(), "~ network_acls own\n");
    }
}

fn fetch(up: &Up<'_>) -> Output {
    output(up.exec("app", "curl").args(["-s", "-m", "2", "http://203.0.113.80/"]))
}

/// The request goes out or not, and nothing comes back; an ACL's denial says so.
fn times_out(up: &Up<'_>) {
    let before = up.dropped(ACL);
    assert_eq!(fetch(up).status, 28, "a timeout, and no refusal");
    assert!(up.dropped(ACL) > before, "{}", up.json("drops"));
}

fn is_answered(up: &Up<'_>) {
    assert_eq!(fetch(up).success().trim(), "198.51.100.10");
}

#[test]
fn n25_the_gateways_subnet_must_let_answers_in() {
    let (host, acl) = (Host::start(), Acl::of("public", "n25"));
    let inside = "{rule: 10, action: allow, protocol: all, source: 10.0.0.0/16}";
    let web = "{rule: 20, action: allow, protocol: tcp, ports: 80, source: 0.0.0.0/0}";
    let rules = format!("{inside}, {web}");
    acl.write(&rules, "", &[]);
    let up = acl.up(&host);
    times_out(&up);
    let answers = "{rule: 30, action: allow, protocol: tcp, ports: 1024-65535, source: 0.0.0.0/0}";
    acl.write(&format!("{rules}, {answers}"), "", &[]);
    acl.apply(&up);
    is_answered(&up);
}

#[test]
fn n26_the_clients_subnet_must_let_answers_in() {
    let (host, acl) = (Host::start(), Acl::of("private", "n26"));
    // From the gateway, one could think.
    let rules = "{rule: 10, action: allow, protocol: tcp, ports: 1024-65535, source: 10.0.0.0/16}";
    acl.write(rules, "", &[]);
    let up = acl.up(&host);
    times_out(&up);
    // The ports that Linux gives to clients.
    let answers =
        "{rule: 20, action: allow, protocol: tcp, ports: 32768-61000, source: 203.0.113.80/32}";
    acl.write(&format!("{rules}, {answers}"), "", &[]);
    acl.apply(&up);
    is_answered(&up);
}

#[test]
fn n27_the_lower_number_decides() {
    let (host, acl) = (Host::start(), Acl::of("private", "n27"));
    let rules = |deny: u16, allow: u16| {
        format!(
            "{{rule: {allow}, action: allow, protocol: all, destination: 0.0.0.0/0}}, \
            {{rule: {deny}, action: deny, protocol: tcp, ports: 80, destination: 0.0.0.0/0}}"
        )
    };
    acl.write("", &rules(90, 100), &[]);
    let up = acl.up(&host);
    times_out(&up);
    acl.write("", &rules(100, 90), &[]);
    acl.apply(&up);
    is_answered(&up);
}

#[test]
fn n29_without_frag_needed_a_large_transfer_hangs() {
    let (host, acl) = (Host::start(), Acl::of("private", "n29"));
    // Two ends with jumbo frames talk by a public address: what is narrower stands between them.
    let server = ("ports: 22, source: 203.0.113.0/24", "ports: 5000, source: 198.51.100.10/32");
    let all = "{rule: 100, action: allow, protocol: all, source: 0.0.0.0/0}";
    let deny = "{rule: 10, action: deny, protocol: icmp, type: 3, code: 4, source: 0.0.0.0/0}";
    acl.write(&format!("{deny}, {all}"), "", &[server]);
    let up = acl.up(&host);
    let mut conversation = Conversation::between(&up, "app", "bastion", "198.51.100.20", 5000);
    conversation.exchange("the handshake, and what is small");
    let large = "x".repeat(20_000);
    conversation.client.say(&large);
    wait_until("a drop", 5, || up.dropped("MTU_EXCEEDED") > 1);
    conversation.is_silent_for(std::time::Duration::from_secs(1));
    acl.write(all, "", &[server]);
    acl.apply(&up);
    assert_eq!(conversation.server.hear(), format!("got {large}"), "TCP sends it again");
}
