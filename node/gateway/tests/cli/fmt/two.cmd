policy fmt - loose.json
