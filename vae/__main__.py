from vae.cli.main import main

main()
