policy test empty.json
