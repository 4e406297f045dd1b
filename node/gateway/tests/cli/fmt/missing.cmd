policy fmt --check nowhere.json
