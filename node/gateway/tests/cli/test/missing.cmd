policy test nowhere.json
