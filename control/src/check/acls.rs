//! What do network ACLs say?

use std::collections::HashMap;

use ipnet::IpNet;

use crate::check::groups::{EVERYWHERE, EVERYWHERE_IPV6};
use crate::check::ids::id;
use crate::check::traffic::{Selector, selector};
use crate::check::{AclAction, AclRule, Check, NetworkAcl, Traffic, VpcIndex};
use crate::diagnostic::{Fault, Place};
use crate::model::{Action, At};

/// The numbers that a rule may have; 32767 is the `*` rule.
const NUMBERS: std::ops::RangeInclusive<u16> = 1..=32766;

/// The numbers that one side of an ACL has given so far.
type Numbers = HashMap<u16, Place>;

impl Check<'_, '_> {
    pub(super) fn network_acls(&mut self) -> Vec<NetworkAcl> {
        let mut acls = Vec::new();
        for (index, (name, acl)) in self.model.network_acls.iter().enumerate() {
            macro_rules! side {
                ($rules:expr, $key:ident) => {{
                    let mut numbers = Numbers::new();
                    let rules = $rules.iter().flat_map(|rules| &rules.value);
                    let rules = rules.filter_map(|rule| {
                        let number = self.number(rule.rule, &mut numbers);
                        self.acl_rule(number, rule.action, &selector!(rule), rule.$key)
                    });
                    let mut rules: Vec<_> = rules.collect();
                    rules.sort_by_key(|rule| rule.number);
                    rules
                }};
            }
            let ingress = side!(acl.ingress, source);
            let egress = side!(acl.egress, destination);
            let Some(vpc) = self.homes.network_acls[index] else { continue };
            let id = id("acl", name, acl.id.as_ref());
            acls.push(NetworkAcl { name: name.clone(), id, vpc, ingress, egress, implicit: false });
        }
        acls.extend(self.words.implicit_acls.iter().map(|&vpc| NetworkAcl {
            name: "default".to_owned(),
            id: id("acl", &format!("{}/default", self.vpc_name(vpc)), None),
            vpc,
            ingress: self.allow_all(vpc),
            egress: self.allow_all(vpc),
            implicit: true,
        }));
        acls
    }

    /// What the `default` ACL of a VPC has on both sides (AWS "Default network ACL").
    fn allow_all(&self, vpc: VpcIndex) -> Vec<AclRule> {
        let ipv6 = self.has_ipv6(vpc).then_some((101, EVERYWHERE_IPV6));
        let numbered = [Some((100, EVERYWHERE)), ipv6].into_iter().flatten();
        let rule = |(number, cidr)| AclRule {
            number,
            action: AclAction::Allow,
            traffic: Traffic::All,
            cidr,
        };
        numbered.map(rule).collect()
    }

    fn number(&mut self, number: Option<At<u16>>, numbers: &mut Numbers) -> Option<u16> {
        let At { place, value } = number?;
        if !NUMBERS.contains(&value) {
            let message = format!("{value} is no number for a rule");
            let help = format!("choose one from {} to {}", NUMBERS.start(), NUMBERS.end());
            self.faults.push(Fault::error(place, message).help(help));
        } else if let Some(first) = numbers.insert(value, place) {
            let fault =
                Fault::error(place, format!("a second rule {value}")).label(first, "the first");
            self.faults.push(fault.help("number the rules of one side apart: the order decides"));
        }
        Some(value)
    }

    fn acl_rule(
        &mut self,
        number: Option<u16>,
        action: Option<At<Action>>,
        selector: &Selector<'_>,
        cidr: Option<At<IpNet>>,
    ) -> Option<AclRule> {
        let traffic = self.traffic(selector);
        let action = match action?.value {
            Action::Allow => AclAction::Allow,
            Action::Deny => AclAction::Deny,
        };
        let (traffic, cidr) = (traffic?, cidr?);
        self.can_match(selector, traffic, cidr);
        Some(AclRule { number: number?, action, traffic, cidr: cidr.value })
    }
}
