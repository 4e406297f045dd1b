policy test bad_policy.json
