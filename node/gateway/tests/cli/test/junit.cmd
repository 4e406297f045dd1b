policy test failing.json --junit -
