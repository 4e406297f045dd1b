module tollbook/vectors

go 1.27
