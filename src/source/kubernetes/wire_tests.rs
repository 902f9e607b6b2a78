use super::*;

fn decoded(resource: Resource, object: &serde_json::Value) -> Result<Decoded, Malformed> {
    decode(resource, &object.to_string(), &mut Interner::default())
}

#[test]
fn a_slice_is_decoded_with_the_time_of_what_it_tells_of() {
    let slice = serde_json::json!({
        "metadata": {
            "name": "web-x", "namespace": "shop", "resourceVersion": "17",
            "labels": {SERVICE_NAME_LABEL: "web", "other": "ignored"},
            "annotations": {
                "endpoints.kubernetes.io/last-change-trigger-time": "2026-05-01T10:00:00.5Z",
            },
            "managedFields": [{"fieldsV1": {"f:endpoints": {}}}],
        },
        "addressType": "IPv4",
        "ports": [{"name": "", "port": 80}],
        "endpoints": [
            {"addresses": ["10.0.0.1"], "conditions": {"ready": true}},
            {"addresses": ["fd00::1"]},
        ],
    });
    let decoded = decoded(Resource::EndpointSlices, &slice).unwrap();
    assert_eq!(decoded.version.as_deref(), Some("17"));
    assert_eq!(decoded.name.to_string(), "shop/web-x");
    let flaw = decoded.flaw.unwrap();
    assert!(flaw.contains("1 of 2"), "{flaw}");
    let Some(Object::Slice(slice, trigger)) = decoded.object else {
        panic!("no slice");
    };
    assert_eq!(slice.service.to_string(), "shop/web");
    assert_eq!(slice.endpoints.len(), 1);
    assert_eq!(trigger, "2026-05-01T10:00:00.5Z".parse().ok());
}

#[test]
fn what_cannot_be_read_says_where_and_still_has_its_name() {
    let service = serde_json::json!({
        "metadata": {"name": "web", "namespace": "shop", "resourceVersion": "3"},
        "spec": {"ports": [{"port": "eighty"}]},
    });
    let malformed = decoded(Resource::Services, &service).unwrap_err();
    assert_eq!(malformed.name.unwrap().to_string(), "shop/web");
    assert_eq!(malformed.version.as_deref(), Some("3"));
    let reason = malformed.reason;
    assert!(reason.starts_with("spec.ports[0].port: "), "{reason}");
    let nameless = serde_json::json!({"metadata": {}, "spec": {}});
    assert_eq!(
        decoded(Resource::Services, &nameless).unwrap_err().name,
        None
    );
}

#[test]
fn slices_of_names_are_no_concern_and_no_mistake() {
    let slice = serde_json::json!({
        "metadata": {"name": "web-x", "namespace": "shop",
                     "labels": {SERVICE_NAME_LABEL: "web"}},
        "addressType": "FQDN", "endpoints": [{"addresses": ["a.example"]}],
    });
    let decoded = decoded(Resource::EndpointSlices, &slice).unwrap();
    assert_eq!((decoded.object, decoded.flaw), (None, None));
}

#[test]
fn a_node_is_decoded_without_its_images() {
    let node = serde_json::json!({
        "metadata": {"name": "N0", "labels": {ZONE_LABEL: "east"}},
        "spec": {"podCIDR": "10.1.0.0/24", "taints": null},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
            "images": [{"names": ["a"], "sizeBytes": "not even a number"}],
        },
    });
    let Some(Object::Node(node)) = decoded(Resource::Nodes, &node).unwrap().object else {
        panic!("no node");
    };
    assert_eq!((&*node.name, node.zone.as_deref()), ("n0", Some("east")));
    assert_eq!((node.addresses.len(), node.pod_cidrs.len()), (1, 1));
}

#[test]
fn a_cluster_ip_that_is_none_is_said() {
    let service = serde_json::json!({
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"clusterIP": "10.0.0.300", "clusterIPs": ["10.0.0.300"],
                 "ports": [{"port": 80}]},
    });
    let flaw = decoded(Resource::Services, &service).unwrap().flaw.unwrap();
    assert!(flaw.contains("spec.clusterIPs"), "{flaw}");
}

#[test]
fn annotations_of_ours_and_the_label_that_keeps_balancers_away_are_read() {
    let service = serde_json::json!({
        "metadata": {
            "name": "web", "namespace": "default",
            "annotations": {"portolan.dev/ipvs-scheduler": "wlc", "other": "ignored"},
        },
        "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 80}]},
    });
    let decoded_service = decoded(Resource::Services, &service).unwrap();
    let Some(Object::Service(service)) = decoded_service.object else {
        panic!("no Service");
    };
    let annotations: Vec<_> = service.annotations.iter().collect();
    assert_eq!(
        annotations,
        [(&"portolan.dev/ipvs-scheduler".into(), &"wlc".into())]
    );
    let label = "node.kubernetes.io/exclude-from-external-load-balancers";
    let node = serde_json::json!({"metadata": {"name": "n1", "labels": {label: ""}}});
    let Some(Object::Node(node)) = decoded(Resource::Nodes, &node).unwrap().object else {
        panic!("no Node");
    };
    assert!(node.no_balancer);
}
