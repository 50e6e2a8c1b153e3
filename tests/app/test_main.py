import time
import httpx2
from tests.programs import Programs
from tests.server import start_server

def test_x(programs: Programs, database_url: str) -> None:
    t=time.time()
    print(programs.run("-m","alembic","-c",__file__.rpartition("/tests/")[0]+"/alembic.ini","upgrade","head", env={"DATABASE_URL":database_url}), time.time()-t)
    t=time.time()
    s = start_server(programs, database_url=database_url)
    print(time.time()-t); t=time.time()
    print(httpx2.get(s.url+"/user-groups").text)
    print(s.program.out, s.program.err)
    print(s.stop(), time.time()-t)
