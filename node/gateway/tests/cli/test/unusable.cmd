policy test unusable.json
