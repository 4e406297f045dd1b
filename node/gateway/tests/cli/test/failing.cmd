policy test failing.json
