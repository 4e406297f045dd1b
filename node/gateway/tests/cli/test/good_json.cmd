policy test good.json --require-coverage --output json
