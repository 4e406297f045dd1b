policy diff ../check/unknown_field.json nowhere.json
