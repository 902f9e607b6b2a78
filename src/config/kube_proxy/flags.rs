//! The file as flags.

use serde_json::Value;

use super::decode::Document;
use super::schema::{FIELDS, Meaning, find};

/// Flags of kube-proxy that are heeded beside `--config`; it ignores all others.
pub const FLAGS_BESIDE_A_FILE: &[&str] = &[
    "--config",
    "--write-config-to",
    "--cleanup",
    "--init-only",
    "--master",
    "--node-name",
    "--log-format",
    "--v",
];

impl Document {
    /// The mode, with kube-proxy's default.
    fn mode(&self) -> &str {
        self.text("mode").unwrap_or("iptables")
    }

    fn text(&self, path: &str) -> Option<&str> {
        self.set.get(path).and_then(Value::as_str)
    }

    /// The flags that say what the file says, each as `--flag=value`. Fields that are not set say
    /// what they say to kube-proxy, whatever the flag's own default is.
    #[must_use]
    pub fn flags(&self) -> Vec<String> {
        let mode = self.mode();
        let mut flags = vec![format!("--mode={mode}")];
        for field in FIELDS {
            let flag = match field.meaning {
                Meaning::Flag("--mode") | Meaning::NotNeeded(_) => continue,
                Meaning::Flag(flag) => flag,
                // Everything that is no mode of its own reads the iptables section.
                Meaning::InMode(of, flag) if of == mode => flag,
                Meaning::InMode("iptables", flag) if shares_iptables(mode, flag) => flag,
                Meaning::InMode(..) => continue,
            };
            let value = self.set.get(field.path);
            match (value, flag) {
                (Some(Value::Bool(on)), "--iptables-localhost-nodeports") => {
                    flags.push(format!("{flag}={on}"));
                }
                (Some(Value::Bool(on)), _) => flags.extend(on.then(|| flag.to_owned())),
                (Some(Value::Array(texts)), _) => {
                    let texts: Vec<_> = texts.iter().filter_map(Value::as_str).collect();
                    flags.push(format!("{flag}={}", texts.join(",")));
                }
                (Some(Value::String(text)), _) => flags.push(format!("{flag}={text}")),
                (Some(other), _) => flags.push(format!("{flag}={other}")),
                // No pod range is no detection, not that of some other installer.
                (None, "--cluster-cidr") => flags.push(format!("{flag}=")),
                (None, "--nodeport-addresses") if mode == "nftables" => {
                    flags.push(format!("{flag}=primary"));
                }
                (None, _) => {}
            }
        }
        flags
    }

    /// Fields that are set and not needed, with the reason, one text for each.
    #[must_use]
    pub fn not_needed(&self) -> Vec<String> {
        let set = self.set.iter().filter_map(|(path, value)| {
            let field = find(path)?;
            let Meaning::NotNeeded(why) = field.meaning else {
                return None;
            };
            // kubeadm writes every field; one that says nothing needs no answer.
            let says_nothing = match value {
                Value::Bool(on) => !on,
                Value::Number(number) => number.as_f64() == Some(0.0),
                Value::Array(list) => list.is_empty(),
                Value::Object(_) => !says_something(value),
                _ => false,
            };
            (!says_nothing).then(|| format!("{path}: {why}"))
        });
        set.collect()
    }
}

/// Something in it is neither empty nor 0 nor false.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(on) => *on,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !matches!(&**text, "" | "0" | "0s"),
        Value::Array(list) => list.iter().any(says_something),
        Value::Object(map) => map.values().any(says_something),
    }
}

/// ipvs has no mark and no masquerading of its own.
fn shares_iptables(mode: &str, flag: &str) -> bool {
    match mode {
        "nftables" => false,
        "ipvs" => matches!(flag, "--masquerade-all" | "--iptables-masquerade-bit"),
        _ => true,
    }
}

/// The field that a flag was made from, in a file of this mode.
#[must_use]
pub fn field_of_flag(flag: &str, mode: &str) -> Option<&'static str> {
    let of = |field: &&super::schema::Field| match field.meaning {
        Meaning::Flag(known) => known == flag,
        Meaning::InMode(of, known) => known == flag && (of == mode || of == "iptables"),
        Meaning::NotNeeded(_) => false,
    };
    let mut found: Vec<_> = FIELDS.iter().filter(of).collect();
    found.sort_by_key(|field| !matches!(field.meaning, Meaning::InMode(of, _) if of == mode));
    found.first().map(|field| field.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(rest: &str) -> Vec<String> {
        let head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";
        let (document, mistakes) = Document::parse(&format!("{head}{rest}"));
        assert!(mistakes.is_empty(), "{mistakes:?}");
        document.flags()
    }

    #[test]
    fn an_empty_file_is_kube_proxy_without_flags() {
        assert_eq!(flags(""), ["--mode=iptables", "--cluster-cidr="]);
    }

    #[test]
    fn each_mode_reads_its_own_section() {
        let sections = "iptables: {masqueradeAll: true, syncPeriod: 10s, masqueradeBit: 1}\n\
                        nftables: {masqueradeBit: 2, syncPeriod: 20s}\n\
                        ipvs: {syncPeriod: 30s, scheduler: wrr, excludeCIDRs: [10.0.0.0/8]}\n";
        let of = |mode: &str| flags(&format!("mode: {mode}\n{sections}"));
        let iptables = of("iptables");
        let expected = [
            "--mode=iptables",
            "--cluster-cidr=",
            "--masquerade-all",
            "--iptables-masquerade-bit=1",
            "--sync-period=10s",
        ];
        assert_eq!(iptables, expected);
        let nftables = [
            "--mode=nftables",
            "--cluster-cidr=",
            "--iptables-masquerade-bit=2",
            "--sync-period=20s",
            "--nodeport-addresses=primary",
        ];
        assert_eq!(of("nftables"), nftables);
        let ipvs = [
            "--mode=ipvs",
            "--cluster-cidr=",
            "--masquerade-all",
            "--iptables-masquerade-bit=1",
            "--ipvs-exclude-cidrs=10.0.0.0/8",
            "--ipvs-scheduler=wrr",
            "--sync-period=30s",
        ];
        assert_eq!(of("ipvs"), ipvs);
    }

    #[test]
    fn all_of_the_ipvs_section_is_read() {
        let section = "mode: ipvs\nclusterCIDR: 10.244.0.0/16\n\
                       ipvs: {scheduler: wlc, strictARP: true, tcpTimeout: 10m, udpTimeout: 45s,\n\
                       tcpFinTimeout: 30s, syncPeriod: 5m, minSyncPeriod: 1s,\n\
                       excludeCIDRs: [203.0.113.96/28, 'fd00::/64']}\n";
        let flags = flags(section);
        for expected in [
            "--ipvs-scheduler=wlc",
            "--ipvs-strict-arp",
            "--ipvs-exclude-cidrs=203.0.113.96/28,fd00::/64",
            "--ipvs-tcp-timeout=10m",
            "--ipvs-tcpfin-timeout=30s",
            "--ipvs-udp-timeout=45s",
            "--sync-period=5m",
            "--min-sync-period=1s",
        ] {
            assert!(flags.iter().any(|flag| flag == expected), "{flags:?}");
        }
    }

    #[test]
    fn a_flag_is_named_by_the_field_it_came_from() {
        let field = |flag, mode| field_of_flag(flag, mode);
        assert_eq!(field("--cluster-cidr", "iptables"), Some("clusterCIDR"));
        assert_eq!(
            field("--sync-period", "nftables"),
            Some("nftables.syncPeriod")
        );
        assert_eq!(field("--sync-period", ""), Some("iptables.syncPeriod"));
        assert_eq!(field("--service-cidr", ""), None);
    }
}
