# Runs in a container with the network interface `app`.

seen=$(wget -q -O - http://api.partner.example/)
echo "the partner sees us as $seen"
[ "$seen" = 198.51.100.10 ]

if nc -w 2 203.0.113.90 25 </dev/null; then
    echo "mail leaves the VPC"
    exit 1
fi
echo "no mail leaves the VPC"
