policy test failing.json good.json
