policy test failing.json --output json
