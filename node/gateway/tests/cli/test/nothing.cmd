policy test nothing.json
