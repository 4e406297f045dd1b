policy test twice.json
