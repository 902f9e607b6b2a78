//! Throw-away.
#[path = "iptables_rules/cluster.rs"] #[allow(dead_code)] mod cluster;
use portolan::model::*; use portolan::translate::iptables::*; use portolan::plan::xtables::{save::save, rule::XtRuleset};
#[test] fn go() {
  let eps: Vec<String> = (0..10u32).map(|i| format!("10.1.1.{i}")).collect(); let eps: Vec<&str> = eps.iter().map(String::as_str).collect();
  let s = cluster::snapshot((0..10000u32).map(|i| cluster::describe(&format!("ns/svc{i:05}"), &format!("172.30.{}.{}", i/250, i%250)).tcp("p80",80).endpoints(&eps)));
  let o = cluster::options(IpFamily::V4);
  let t = std::time::Instant::now(); let r = IptablesRuleset::new(&s,&o); let mut n=0; r.for_each_chain(&mut |c| n += c.rules.len()); println!("chains: {n} rules {:?}", t.elapsed());
  let t = std::time::Instant::now(); let mut x = String::new(); save(&r, &mut x).unwrap(); println!("save: {} bytes {:?}", x.len(), t.elapsed());
  let names: Vec<_> = s.services.values().map(|v| ServicePortName{service: v.name.clone(), port: "p80".into(), protocol: Protocol::Tcp}).collect();
  let t = std::time::Instant::now(); for n in &names { std::hint::black_box(r.service_port_rules(n)); } println!("alone: {:?} each", t.elapsed()/10000);
}
