policy test no_policy.json
