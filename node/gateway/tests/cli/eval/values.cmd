policy eval --policy refunds.json --call calls.jsonl --jsonl --trace --show-values --output table
