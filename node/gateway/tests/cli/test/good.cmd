policy test good.json
